/* Runs a fuzz target over files, without a fuzzer: replay-TARGET FOLDER... prints TAP. So
 * the corpus is a test under every compiler, and an input that broke something once is one
 * for ever. Each input is copied to memory of exactly its size, so that a sanitizer sees
 * what is read behind it; the name of each is printed before it is run, so that of a crash
 * it is known which.
 *
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>

static int count;

static void replay_file(const char *path)
{
    static uint8_t bytes[65536];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    uint8_t *exact = malloc(size + (size == 0)); /* so that a sanitizer sees what is read behind */
    demand(exact != NULL);
    for (size_t i = 0; i < size; i++)
        exact[i] = bytes[i];
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    count++;
}

static void replay_folder(const char *folder)
{
    char path[4096];
    DIR *dir = opendir(folder);
    if (!dir) {
        perror(folder);
        exit(1);
    }
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
            fprintf(stderr, "# %s\n", path);
            replay_file(path);
        }
    closedir(dir);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay_folder(argv[i]);
    printf("1..1\nok 1 - %d inputs\n", count);
    return 0;
}
