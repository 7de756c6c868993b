/* Names for callbacks: from an address to the function that begins there.
 *
 * A trace that says "0x55d0c2a01f30" teaches nobody. dladdr(3) knows exported functions only, and
 * callbacks are nearly always static, so this looks where debuggers look: in the symbol table of
 * the file that the code was loaded from, which is there unless the file was stripped. No debug
 * information is needed, and nothing from the program that is traced.
 *
 * The file is mapped, searched once from end to end, and unmapped; the answer is kept. Offsets come
 * from a file that may be anything, so none is followed before it was held against the file's size.
 *
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>

enum { NAMES = 256, NAME_SIZE = 120 };

struct name {
    loop_function function;
    char text[NAME_SIZE];
};

/* The file that an address was loaded from. */
struct module {
    uintptr_t address;
    uintptr_t base; /* what the file calls 0 */
    char path[1024];
    bool found;
};

struct image {
    const unsigned char *bytes;
    size_t size;
};

static sys_mutex lock = SYS_MUTEX_READY;
static struct name names[NAMES]; /* by hash; a later one takes the place */

static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct module *module = arg;
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum && !module->found; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + header->p_vaddr;
        module->found = header->p_type == PT_LOAD && module->address >= start &&
                        module->address - start < header->p_memsz;
    }
    if (module->found) {
        const char *path = info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe";
        module->base = info->dlpi_addr;
        snprintf(module->path, sizeof(module->path), "%s", path);
    }
    return module->found;
}

/* NULL: the file is not that long. */
static const void *at(struct image image, uint64_t offset, uint64_t size)
{
    /* unreachable: it is that long, unless it was cut off since it was loaded */
    return offset <= image.size && size <= image.size - offset ? image.bytes + offset : NULL;
}

static const ElfW(Shdr) * section(struct image image, const ElfW(Ehdr) * header, uint32_t index)
{
    if (index >= header->e_shnum)
        return NULL; /* unreachable: names are in a section that exists */
    return at(image, header->e_shoff + (uint64_t)index * sizeof(ElfW(Shdr)), sizeof(ElfW(Shdr)));
}

static const ElfW(Shdr) * symbol_table(struct image image, const ElfW(Ehdr) * header)
{
    const ElfW(Shdr) *found = NULL;
    for (uint32_t i = 0; i < header->e_shnum; i++) {
        const ElfW(Shdr) *each = section(image, header, i);
        if (each && each->sh_type == SHT_SYMTAB)
            return each;
        if (each && each->sh_type == SHT_DYNSYM)
            found = each;
    }
    return found;
}

static bool is_at(const ElfW(Sym) * symbol, uintptr_t value)
{
    return (symbol->st_info & 0xf) == STT_FUNC && value >= symbol->st_value &&
           value - symbol->st_value < (symbol->st_size ? symbol->st_size : 1);
}

static void copy_name(struct image image, const ElfW(Shdr) * strings, uint32_t offset, char *text)
{
    const char *name = strings ? at(image, strings->sh_offset + offset, 1) : NULL;
    if (!name)
        return; /* unreachable: the section of names holds them all */
    size_t length = strnlen(name, image.size - strings->sh_offset - offset);
    if (length >= NAME_SIZE)
        length = NAME_SIZE - 1;
    memcpy(text, name, length);
    text[length] = '\0';
}

static void search(struct image image, uintptr_t value, char *text)
{
    const ElfW(Ehdr) *header = at(image, 0, sizeof(*header));
    if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return; /* unreachable: a file of another kind could not be loaded */
    const ElfW(Shdr) *table = symbol_table(image, header);
    const ElfW(Sym) *symbols = table ? at(image, table->sh_offset, table->sh_size) : NULL;
    if (!symbols)
        return;
    for (size_t i = 0; i < table->sh_size / sizeof(*symbols); i++) {
        if (!is_at(&symbols[i], value))
            continue;
        copy_name(image, section(image, header, table->sh_link), symbols[i].st_name, text);
        return;
    }
}

static void look_up(loop_function function, char *text)
{
    struct module module = {.address = (uintptr_t)function};
    struct stat stat;
    strcpy(text, "?");
    sys_each_module(visit, &module);
    int fd = module.found ? sys_open(module.path, O_RDONLY, 0) : -1;
    if (fd < 0)
        return;
    if (sys_fstat(fd, &stat) == 0 && stat.st_size > 0) {
        struct image image = {.size = (size_t)stat.st_size};
        image.bytes = sys_map(fd, image.size);
        if (image.bytes) {
            search(image, module.address - module.base, text);
            sys_unmap(image.bytes, image.size);
        }
    }
    sys_close(fd);
}

void loop_function_name(loop_function function, char *name, size_t size)
{
    struct name *known = &names[((uintptr_t)function >> 4) % NAMES];
    sys_lock(&lock);
    if (!known->function || known->function != function) {
        look_up(function, known->text);
        known->function = function;
    }
    snprintf(name, size, "%s", known->text);
    sys_unlock(&lock);
}
