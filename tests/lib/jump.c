/* Preloaded: a wall clock that tests can set. The seconds to add stand in the file $JUMP, which all
 * processes map, so that it jumps for all of them at once and in the middle of a wait: C11's timed
 * waits end by this clock, as those in the kernel end by the real one. (libfaketime leaves such
 * waits to the real clock, but their deadlines come from its own: an hour forward, and each lasts
 * an hour.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *jump;

__attribute__((constructor)) static void start(void) {
    int file = open(getenv("JUMP"), O_RDONLY | O_CLOEXEC);
    void *map = mmap(NULL, sizeof *jump, PROT_READ, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) abort();
    jump = map;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && jump && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *jump;
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec wall;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &wall);
    now->tv_sec = wall.tv_sec;
    now->tv_usec = wall.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *copy) {
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    if (copy) *copy = wall.tv_sec;
    return wall.tv_sec;
}

static int64_t ns(const struct timespec *time) {
    return time->tv_sec * INT64_C(1000000000) + time->tv_nsec;
}

int cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until) {
    static int (*real)(cnd_t *, mtx_t *, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "cnd_timedwait");
    for (;;) {
        struct timespec wall, end;
        clock_gettime(CLOCK_REALTIME, &wall);
        int64_t left = ns(until) - ns(&wall);
        if (left <= 0) return thrd_timedout;
        syscall(SYS_clock_gettime, CLOCK_REALTIME, &end);
        int64_t at = ns(&end) + (left < 20000000 ? left : 20000000);
        end.tv_sec = at / 1000000000;
        end.tv_nsec = at % 1000000000;
        int answer = real(cond, mutex, &end);
        if (answer != thrd_timedout) return answer;
    }
}
