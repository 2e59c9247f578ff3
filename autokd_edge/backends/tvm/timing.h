/* What programs that time a student have in common: the clock, the core, the input, and one line for a failure. */
#ifndef AUTOKD_TIMING_H
#define AUTOKD_TIMING_H

#define _GNU_SOURCE
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "autokd_facts.h"
#include "autokd_student.h"

static void fail(const char *format, ...) {
    va_list values;
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Fixed input that is not zero: zeros could take a shorter way through a kernel. */
static void fill(float *image, int count) {
    uint32_t state = 1;
    for (int i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u; /* Numerical Recipes' generator */
        image[i] = (float)(state >> 8) / (float)(1 << 23) - 1.0f;
    }
}

static long top_clock(int core) {
    char path[96];
    long clock = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/cpuinfo_max_freq", core);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%ld", &clock) != 1) clock = 0;
        fclose(file);
    }
    return clock;
}

/* Keep to one core: the fastest one, and of equals the last (the first serves interrupts). */
static int pin(void) {
    cpu_set_t may, one;
    int best = -1;
    long best_clock = -1;
    if (AUTOKD_THREADS != 1 || sched_getaffinity(0, sizeof may, &may)) return 0;
    for (int core = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &may) && top_clock(core) >= best_clock) best = core, best_clock = top_clock(core);
    if (best < 0) return 0;
    CPU_ZERO(&one);
    CPU_SET(best, &one);
    return !sched_setaffinity(0, sizeof one, &one);
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double median(const int64_t *samples, long count) {
    int64_t *sorted = malloc((size_t)count * sizeof *sorted);
    if (!sorted) fail("no memory for %ld samples", count);
    memcpy(sorted, samples, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_size);
    double middle = count % 2 ? (double)sorted[count / 2] : (double)(sorted[count / 2 - 1] + sorted[count / 2]) / 2;
    free(sorted);
    return middle;
}

#endif
