/* Print the peak resident memory, in bytes, of a process that infers; without a student, of one that does nothing.

   VmHWM, or what is resident at the end where the kernel's count lags behind that. */
#include <stdio.h>
#ifdef STUDENT
#include "autokd_student.h"
static float image[AUTOKD_CHANNELS * AUTOKD_HEIGHT * AUTOKD_WIDTH], logits[AUTOKD_CLASSES];
#endif

static long kib_in(const char *path, const char *format) {
    char line[256];
    long kib = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) sscanf(line, format, &kib);
    if (file) fclose(file);
    return kib;
}

int main(void) {
#ifdef STUDENT
    for (int i = 0; i < 5; i++) autokd_run(image, logits);
#endif
    long peak = kib_in("/proc/self/status", "VmHWM: %ld"), resident = kib_in("/proc/self/smaps_rollup", "Rss: %ld");
    printf("%ld\n", (resident > peak ? resident : peak) * 1024);
    return 0;
}
