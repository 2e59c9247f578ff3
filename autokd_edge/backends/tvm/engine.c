/* The program around a compiled student: it describes, times or runs itself. Linux and the C library only.

   ENGINE describe | memory | layers RUNS | sentinel RUNS | repeat RUNS | measure NAME=VALUE... | infer INPUTS.npy LOGITS.npy
          | check INPUTS.npy LOGITS.npy TOLERANCE

   Answers are one JSON document on stdout; what went wrong is one line on stderr and exit status 1. The
   steps and names of a timing are those of devices/device_program.py. */
#include "timing.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { SETTLING_RUNS = 5 };
enum { PIXELS = AUTOKD_CHANNELS * AUTOKD_HEIGHT * AUTOKD_WIDTH };

int autokd_step(int number); /* one kernel on what lies in the arena */
static const char *const layers[] = {AUTOKD_LAYERS};

static float image[PIXELS], logits[AUTOKD_CLASSES];

static void run(void) {
    if (autokd_run(image, logits)) fail("a kernel of the engine refused its arguments");
}

static void settle(void) {
    for (int i = 0; i < SETTLING_RUNS; i++) run();
}

static void load(void) {
    fill(image, PIXELS);
    settle();
}

/* Return a number of KiB that a file of /proc gives behind a name; 0 where it gives none. */
static long kib_in(const char *path, const char *name) {
    char line[256];
    long kib = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)) && sscanf(line + strlen(name), ": %ld", &kib) == 1) break;
    if (file) fclose(file);
    return kib;
}

/* Linux 6.2 and later count VmHWM by processor and sum up now and then, 128 KiB and more behind; what is resident is
   walked through page by page. Nothing is given back here before the peak is read, so the larger one is the peak. */
static long peak_rss_bytes(void) {
    long peak = kib_in("/proc/self/status", "VmHWM"), resident = kib_in("/proc/self/smaps_rollup", "Rss");
    if (!peak) fail("/proc/self/status must say VmHWM; it does not");
    return (resident > peak ? resident : peak) * 1024;
}

/* Return how long the threads of this program have waited for a processor in all, ns; -1 where the kernel does not say. */
static int64_t waited_ns(void) {
    int64_t total = -1;
    DIR *threads = opendir("/proc/self/task");
    for (struct dirent *thread; threads && (thread = readdir(threads));) {
        char path[300];
        long long ran, waited;
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", thread->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue; /* "." and "..", or a kernel without these figures */
        if (fscanf(file, "%lld %lld", &ran, &waited) == 2) total = (total < 0 ? 0 : total) + waited;
        fclose(file);
    }
    if (threads) closedir(threads);
    return total;
}

/* Time single runs, at least so many and at least so long; the caller frees the samples. */
static int64_t *timed(long runs, double seconds, long *count) {
    long room = runs > 1024 ? runs : 1024;
    int64_t *samples = malloc((size_t)room * sizeof *samples);
    int64_t now = now_ns(), end = now + (int64_t)(seconds * 1e9);
    for (*count = 0; *count < runs || now < end;) {
        if (samples && *count == room) samples = realloc(samples, (size_t)(room *= 2) * sizeof *samples);
        if (!samples) fail("no memory for %ld samples", room);
        int64_t start = now_ns();
        run();
        now = now_ns();
        samples[(*count)++] = now - start;
    }
    return samples;
}

static double timed_median(long runs) {
    long count;
    int64_t *samples = timed(runs, 0, &count);
    double middle = median(samples, count);
    free(samples);
    return middle;
}

/* Run until two windows in a row have one median; say whether that came before the time limit. */
static int warm_up(long runs, double seconds, double tolerance) {
    int64_t end = now_ns() + (int64_t)(seconds * 1e9);
    for (double earlier, middle = 0;;) {
        earlier = middle;
        middle = timed_median(runs);
        if (fabs(earlier / middle - 1) <= tolerance) return 1;
        if (now_ns() >= end) return 0;
    }
}

static double value(int count, char **pairs, const char *name) {
    size_t length = strlen(name);
    for (int i = 0; i < count; i++) {
        char *end;
        if (strncmp(pairs[i], name, length) || pairs[i][length] != '=') continue;
        double found = strtod(pairs[i] + length + 1, &end);
        if (*end || end == pairs[i] + length + 1) fail("%s must be a number; got '%s'", name, pairs[i] + length + 1);
        return found;
    }
    fail("measure needs %s=NUMBER", name);
    return 0;
}

/* What the timed parts of all blocks took, and how long this program waited for a processor in them. */
static int64_t timed_ns, displaced_ns;

static void block(int count, char **pairs) {
    double cooldown_s = value(count, pairs, "cooldown_s");
    struct timespec pause = {(time_t)cooldown_s, (long)(fmod(cooldown_s, 1) * 1e9)};
    long taken, keep = (long)value(count, pairs, "block_samples");
    nanosleep(&pause, NULL);
    settle();
    int64_t begun = now_ns(), waited = waited_ns();
    int64_t *samples = timed((long)value(count, pairs, "block_runs"), value(count, pairs, "block_s"), &taken);
    displaced_ns = waited < 0 ? -1 : displaced_ns + waited_ns() - waited;
    timed_ns += now_ns() - begun;
    /* Every n-th sample of a fast engine says as much about its percentiles, and a journal stays readable. */
    long step = (taken + keep - 1) / keep;
    for (long i = 0; i < taken; i += step) printf("%s%lld", i ? "," : "", (long long)samples[i]);
    free(samples);
}

static void measure(int count, char **pairs) {
    int pinned = pin();
    load();
    long peak = peak_rss_bytes(); /* before any sample is in memory */
    int warm = warm_up((long)value(count, pairs, "warmup_runs"), value(count, pairs, "warmup_s"), value(count, pairs, "warmup_tolerance"));
    printf("{\"clock\":\"CLOCK_MONOTONIC by clock_gettime\",\"threads\":%d,\"pinned\":%s,\"warm\":%s,\"peak_rss_bytes\":%ld,", AUTOKD_THREADS,
           pinned ? "true" : "false", warm ? "true" : "false", peak);
    printf("\"executed\":%s,\"toolchain\":%s,\"blocks_ns\":[", AUTOKD_EXECUTED, AUTOKD_TOOLCHAIN);
    for (long i = 0, blocks = (long)value(count, pairs, "blocks"); i < blocks; i++) {
        printf("%s[", i ? "," : "");
        block(count, pairs);
        printf("]");
    }
    if (displaced_ns < 0) printf("],\"waited_share\":null}\n");
    else printf("],\"waited_share\":%.6f}\n", (double)displaced_ns / (double)timed_ns);
}

/* Time each kernel by itself; a profiled run is slower than a timed one by two readings of the clock for each. */
static void profile(long runs) {
    static int64_t total[AUTOKD_STEPS];
    if (runs < 1) fail("layers must run at least once; got %ld", runs);
    for (long turn = 0; turn < runs; turn++)
        for (int i = 0; i < AUTOKD_STEPS; i++) {
            int64_t start = now_ns();
            if (autokd_step(i)) fail("kernel %d refused its arguments", i);
            total[i] += now_ns() - start;
        }
    printf("{\"layers\":[");
    for (int i = 0; i < AUTOKD_STEPS; i++) printf("%s{%s,\"mean_ns\":%lld}", i ? "," : "", layers[i], (long long)(total[i] / runs));
    printf("]}\n");
}

static void describe(void) {
    printf("{\"input\":[1,%d,%d,%d],\"classes\":%d,\"threads\":%d,\"executed\":%s,\"toolchain\":%s,", AUTOKD_CHANNELS, AUTOKD_HEIGHT,
           AUTOKD_WIDTH, AUTOKD_CLASSES, AUTOKD_THREADS, AUTOKD_EXECUTED, AUTOKD_TOOLCHAIN);
    printf("\"weights_bytes\":%ld,\"arena_bytes\":%ld,\"live_bytes\":%ld}\n", (long)AUTOKD_WEIGHTS_BYTES, (long)AUTOKD_ARENA_BYTES,
           (long)AUTOKD_LIVE_BYTES);
}

static uint32_t little(const unsigned char *bytes, int count) {
    uint32_t number = 0;
    for (int i = count; i-- > 0;) number = number << 8 | bytes[i];
    return number;
}

/* Read the head of a .npy file, versions 1 to 3, and return its numbers' shape as text: "(16, 10)". */
static const char *shape_in(FILE *file, const char *path) {
    static char head[1024];
    unsigned char lead[12] = {0};
    if (fread(lead, 1, 10, file) != 10 || memcmp(lead, "\x93NUMPY", 6)) fail("'%s' must be a .npy file", path);
    uint32_t size = little(lead + 8, 2);
    if (lead[6] > 1) {
        if (fread(lead + 10, 1, 2, file) != 2) fail("'%s' ends in its head", path);
        size = little(lead + 8, 4);
    }
    memset(head, 0, sizeof head);
    if (size >= sizeof head || fread(head, 1, size, file) != size) fail("'%s' ends in its head", path);
    char *shape = strstr(head, "'shape':");
    if (!shape || !strstr(head, "'<f4'") || strstr(head, "'fortran_order': True")) fail("'%s' must hold float32 numbers in C order", path);
    shape += strcspn(shape, "(");
    shape[strcspn(shape, ")") + 1] = 0;
    return shape;
}

/* Open a file of samples and return their number. */
static long samples_in(FILE *file, const char *path) {
    long count, c, h, w;
    const char *shape = shape_in(file, path);
    if (sscanf(shape, "(%ld, %ld, %ld, %ld)", &count, &c, &h, &w) != 4 || c != AUTOKD_CHANNELS || h != AUTOKD_HEIGHT || w != AUTOKD_WIDTH)
        fail("samples must be float32 (n, %d, %d, %d); got %s", AUTOKD_CHANNELS, AUTOKD_HEIGHT, AUTOKD_WIDTH, shape);
    return count;
}

static void write_head(FILE *file, long count) {
    char head[119]; /* 10 + 118 bytes: the data begin at a multiple of 64 */
    int length = snprintf(head, sizeof head, "{'descr': '<f4', 'fortran_order': False, 'shape': (%ld, %d), }", count, AUTOKD_CLASSES);
    memset(head + length, ' ', (size_t)(117 - length));
    head[117] = '\n';
    fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file);
    fwrite(head, 1, 118, file);
}

static FILE *opened(const char *path, const char *mode) {
    FILE *file = fopen(path, mode);
    if (!file) fail("'%s' could not be opened: %s", path, strerror(errno));
    return file;
}

static void next(FILE *in, const char *path, long i) {
    if (fread(image, sizeof *image, PIXELS, in) != PIXELS) fail("'%s' ends before sample %ld", path, i);
    run();
    for (int k = 0; k < AUTOKD_CLASSES; k++)
        if (!isfinite(logits[k])) fail("logits must be finite; sample %ld is not", i);
}

static void infer(const char *inputs, const char *out) {
    pin();
    FILE *in = opened(inputs, "rb");
    long count = samples_in(in, inputs);
    FILE *made = opened(out, "wb");
    write_head(made, count);
    for (long i = 0; i < count; i++) {
        next(in, inputs, i);
        fwrite(logits, sizeof *logits, AUTOKD_CLASSES, made);
    }
    fclose(in);
    if (ferror(made) || fclose(made)) fail("'%s' could not be written: %s", out, strerror(errno));
    printf("{\"samples\":%ld}\n", count);
}

static int label(const float *scores) {
    int best = 0;
    for (int k = 1; k < AUTOKD_CLASSES; k++)
        if (scores[k] > scores[best]) best = k;
    return best;
}

/* Compare with the logits of a file: the self-test of a bundle, where there is no Python. */
static void check(const char *inputs, const char *recorded, double tolerance) {
    float expected[AUTOKD_CLASSES];
    long count, known, classes, same = 0;
    double largest = 0;
    FILE *in = opened(inputs, "rb"), *file = opened(recorded, "rb");
    count = samples_in(in, inputs);
    const char *shape = shape_in(file, recorded);
    if (sscanf(shape, "(%ld, %ld)", &known, &classes) != 2 || known != count || classes != AUTOKD_CLASSES)
        fail("recorded logits must be float32 (%ld, %d); got %s", count, AUTOKD_CLASSES, shape);
    for (long i = 0; i < count; i++) {
        next(in, inputs, i);
        if (fread(expected, sizeof *expected, AUTOKD_CLASSES, file) != AUTOKD_CLASSES) fail("'%s' ends before sample %ld", recorded, i);
        for (int k = 0; k < AUTOKD_CLASSES; k++) largest = fmax(largest, fabs((double)logits[k] - expected[k]));
        same += label(logits) == label(expected);
    }
    printf("self-test: %ld of %ld labels, largest logit difference %.3g (tolerance %g)\n", same, count, largest, tolerance);
    if (same != count || !(largest <= tolerance)) fail("the self-test failed: this engine does not compute what it did when it was built");
}

int main(int count, char **arguments) {
    const char *verb = count > 1 ? arguments[1] : "";
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody may measure next to an orphan */
    if (!AUTOKD_HAS) fail("this engine needs a processor with %s; the one here lacks something of it", AUTOKD_NEEDS);
    if (count == 2 && !strcmp(verb, "describe")) {
        describe();
    } else if (count == 2 && !strcmp(verb, "memory")) {
        pin();
        load();
        printf("{\"peak_rss_bytes\":%ld}\n", peak_rss_bytes());
    } else if (count == 3 && !strcmp(verb, "layers")) {
        pin();
        load();
        warm_up(20, 1.0, 0.02);
        profile(atol(arguments[2]));
    } else if (count == 3 && !strcmp(verb, "sentinel")) {
        pin();
        load();
        warm_up(20, 1.0, 0.02);
        printf("{\"median_ns\":%.0f}\n", timed_median(atol(arguments[2]) > 0 ? atol(arguments[2]) : 1));
    } else if (count == 3 && !strcmp(verb, "repeat")) {
        load(); /* no warm-up: it goes by the clock, and who counts instructions must find equal ones */
        for (long i = atol(arguments[2]); i > 0; i--) run();
        printf("{\"runs\":%ld}\n", atol(arguments[2]));
    } else if (count > 2 && !strcmp(verb, "measure")) {
        measure(count - 2, arguments + 2);
    } else if (count == 4 && !strcmp(verb, "infer")) {
        infer(arguments[2], arguments[3]);
    } else if (count == 5 && !strcmp(verb, "check")) {
        check(arguments[2], arguments[3], atof(arguments[4]));
    } else {
        fail("usage: %s describe | memory | layers RUNS | sentinel RUNS | repeat RUNS | measure NAME=VALUE... | infer INPUTS.npy LOGITS.npy | check INPUTS.npy LOGITS.npy TOLERANCE", arguments[0]);
    }
    if (fflush(stdout)) fail("the answer could not be written: %s", strerror(errno));
    return 0;
}
