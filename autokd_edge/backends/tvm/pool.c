/* Threads that share the tiles of a kernel: what TVM's generated code calls where a loop is parallel.

   A thread that waits looks for work some microseconds long and sleeps then, so that an idle engine takes nothing.
   Whoever is awake takes the next part: where a thread is slow to come, the caller does its part. Parts are cut the
   same way each time and write different tiles, so that the numbers never depend on who computed them. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#include "autokd_facts.h"

typedef struct {
    void *sync_handle;
    int32_t num_task;
} Group; /* as TVM lays it out */
typedef int (*Part)(int number, Group *group, void *data);

enum { HELPERS = AUTOKD_THREADS - 1, LOOKS = 2000, STACK_BYTES = 256 * 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t called = PTHREAD_COND_INITIALIZER;
static int started;
static Group group = {0, AUTOKD_THREADS};
static Part part;
static void *data;
/* The number of the job above, the next part of it below: a late thread cannot take a part of a job that has ended. */
static _Atomic uint64_t ticket = AUTOKD_THREADS;
static atomic_int finished;
static atomic_int asleep;

static void breathe(void) {
#ifdef __x86_64__
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

static void take_parts(void) {
    uint64_t seen = atomic_load(&ticket);
    while ((uint32_t)seen < AUTOKD_THREADS)
        if (atomic_compare_exchange_weak(&ticket, &seen, seen + 1)) {
            part((int)(uint32_t)seen, &group, data);
            atomic_fetch_add(&finished, 1);
            seen = atomic_load(&ticket);
        }
}

static int work_is_there(void) { return (uint32_t)atomic_load(&ticket) < AUTOKD_THREADS; }

static void *help(void *nothing) {
    for (;;) {
        for (int i = 0; i < LOOKS && !work_is_there(); i++) breathe();
        if (!work_is_there()) {
            pthread_mutex_lock(&lock);
            atomic_fetch_add(&asleep, 1);
            while (!work_is_there()) pthread_cond_wait(&called, &lock);
            atomic_fetch_sub(&asleep, 1);
            pthread_mutex_unlock(&lock);
        }
        take_parts();
    }
    return nothing;
}

/* A child of fork() has none of the threads: it starts its own. */
static void forget(void) {
    started = 0;
    atomic_store(&asleep, 0);
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&called, NULL);
}

/* Where a thread cannot be started, the others do its parts. */
static void start(void) {
    static int known;
    pthread_attr_t small;
    pthread_t thread;
    started = 1;
    if (!known++) pthread_atfork(NULL, NULL, forget);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_BYTES);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < HELPERS; i++) pthread_create(&thread, &small, help, NULL);
    pthread_attr_destroy(&small);
}

static int launch(Part function, void *arguments, int parts) {
    (void)parts; /* 0: as many as there are threads */
    if (!started) start();
    part = function;
    data = arguments;
    atomic_store(&finished, 0);
    uint64_t job = (atomic_load(&ticket) >> 32) + 1;
    atomic_store(&ticket, job << 32);
    if (atomic_load(&asleep)) {
        pthread_mutex_lock(&lock);
        pthread_cond_broadcast(&called);
        pthread_mutex_unlock(&lock);
    }
    take_parts();
    for (int i = 0; atomic_load(&finished) < AUTOKD_THREADS; i++)
        if (i < LOOKS) breathe();
        else sched_yield();
    return 0;
}

/* The name that TVM's code reads the function from. */
int (*__TVMBackendParallelLaunch)(Part, void *, int) = launch;
