// Line charts of the last two minutes, in SVG, by hand.
//
// A chart is made once, and moved by setting attributes: one path for each line, and the texts of
// the axes. Time ends with the newest sample, not with the clock, so nothing moves by itself. Where
// a sample is missing there is a gap in the line.
// SPDX-License-Identifier: MIT
'use strict';

const SPAN = 120; // seconds
const WIDTH = 280, HEIGHT = 130, LEFT = 58, RIGHT = 8, TOP = 8, BOTTOM = 20;

function svg(tag, attributes, parent) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes))
    made.setAttribute(name, value);
  parent?.append(made);
  return made;
}

function element(tag, text, parent) {
  const made = document.createElement(tag);
  made.textContent = text;
  parent?.append(made);
  return made;
}

// --- numbers and their units ---

// About three digits, at most two of them behind the point, and no zeros there.
function short(number) {
  return String(Number(number.toFixed(number >= 100 ? 0 : number >= 10 ? 1 : 2)));
}

function bytes(number) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  for (; Math.abs(number) >= 1024 && at < units.length - 1; at++)
    number /= 1024;
  return `${at === 0 ? Math.round(number) : short(number)} ${units[at]}`;
}

const units = {
  ms: (number) => `${short(number)} ms`,
  percent: (number) => `${short(number)} %`,
  rate: (number) => `${short(number)}/s`,
  bytes,
  byteRate: (number) => `${bytes(number)}/s`,
  count: (number) => String(Math.round(number)),
  load: (number) => short(number),
};

// The next round number that is not smaller, and whose half is round too.
function roundUp(number, isBytes) {
  if (isBytes)
    return 2 ** Math.ceil(Math.log2(Math.max(number, 1024)));
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 4, 10].find((factor) => factor * power >= number * 0.999999) * power;
}

// --- one chart ---

class Chart {
  // {title, unit, top?, least?, series: [[name, sample → number]]}. top: the end of the axis; least:
  // it is never shorter.
  constructor(parent, options) {
    Object.assign(this, options);
    this.write = units[this.unit];
    this.isBytes = this.unit.startsWith('byte');
    const figure = element('figure', '', parent);
    element('figcaption', this.title, figure);
    const legend = element('ul', '', figure);
    legend.className = 'legend';
    this.values = this.series.map(([name], index) => this.addLegend(legend, name, index));
    this.addPicture(figure);
  }

  addLegend(legend, name, index) {
    const item = element('li', '', legend);
    const sign = svg('svg', { viewBox: '0 0 24 8', 'aria-hidden': 'true' }, item);
    svg('path', { d: 'M0 4H24', class: `series line-${index}` }, sign);
    item.append(`${name} `);
    return element('b', '–', item);
  }

  addPicture(figure) {
    const picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'chart', role: 'img',
                                 'aria-label': `${this.title}, the last two minutes` }, figure);
    this.marks = [0, 1, 2, 3, 4].map((step) => {
      const y = this.y(step / 4);
      svg('line', { x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y, class: 'grid' }, picture);
      return svg('text', { x: LEFT - 6, y: y + 4, 'text-anchor': 'end' }, picture);
    });
    for (const [ago, text] of [[120, '2 min ago'], [60, '1 min'], [0, 'now']]) {
      const anchor = ago === 120 ? 'start' : ago === 0 ? 'end' : 'middle';
      svg('text', { x: this.x(ago), y: HEIGHT - 4, 'text-anchor': anchor },
          picture).textContent = text;
    }
    this.paths = this.series.map((_, index) =>
      svg('path', { class: `series line-${index}` }, picture));
  }

  x(ago) {
    return LEFT + (WIDTH - LEFT - RIGHT) * (1 - ago / SPAN);
  }

  y(share) {
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share);
  }

  draw(samples) {
    const newest = samples[samples.length - 1];
    const numbers = this.series.map(([, read]) => samples.map(read));
    const most = Math.max(this.least ?? 0, 1e-9, ...numbers.flat());
    const top = this.top?.(newest) || roundUp(most, this.isBytes);
    this.marks.forEach((mark, step) => {
      mark.textContent = step % 2 === 0 ? this.write(top * step / 4) : '';
    });
    numbers.forEach((line, index) => {
      this.values[index].textContent = this.write(line[line.length - 1]);
      this.paths[index].setAttribute('d', this.path(samples, line, newest, top));
    });
  }

  path(samples, line, newest, top) {
    let path = '';
    line.forEach((number, index) => {
      const ago = (newest.at - samples[index].at) / 1000;
      if (ago > SPAN)
        return;
      const joined = path && samples[index].n === samples[index - 1].n + 1;
      const share = Math.min(number / top, 1);
      path += `${joined ? 'L' : 'M'}${this.x(ago).toFixed(1)} ${this.y(share).toFixed(1)}`;
    });
    return path;
  }
}
