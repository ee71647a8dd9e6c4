/* Counts, ends, fails or records the calls that change files below some folders, over all threads and processes.

   Preloaded (LD_PRELOAD). The file FAULTS_STATE is mapped by every process: it holds the count, and what happens at
   which call. FAULTS_ROOTS are the folders, separated by colons; calls on other paths are passed on unseen. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL, KILL_ALL, FAIL, RECORD, INTERRUPT, KILL_PARENT, FULL };
enum { GROUPS = 16 };

struct state {
    _Atomic uint64_t count; /* calls so far */
    uint64_t at;            /* the call at which it happens, from 1 on */
    uint32_t mode;
    uint32_t error; /* errno of FAIL */
    _Atomic uint32_t fired;
    _Atomic uint32_t lock; /* held while a call is made and recorded */
    char what[256];        /* the call at which it happened */
    int32_t groups[GROUPS]; /* the process groups of this try, the first command's first; 0 where there is none */
};

static struct state *state;
static char *roots;
static int log_fd = -1;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_STATE"), *log = getenv("FAULTS_LOG");
    roots = getenv("FAULTS_ROOTS");
    if (!path || !roots) return;
    int (*open_)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int fd = open_(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) return;
    if (log) log_fd = open_(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    state = mapped;
}

static int below(const char *path) {
    for (const char *root = roots; root && *root;) {
        size_t length = strcspn(root, ":");
        if (length && !strncmp(path, root, length) && (path[length] == '/' || !path[length])) return 1;
        root += length + (root[length] == ':');
    }
    return 0;
}

static const char *of_fd(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return path;
}

static const char *of_path(int folder, const char *given, char *path) {
    if (given[0] == '/') return given;
    char before[PATH_MAX];
    if (folder == AT_FDCWD) {
        if (!getcwd(before, sizeof before)) return "";
    } else {
        of_fd(folder, before);
    }
    snprintf(path, PATH_MAX, "%.2000s/%.2000s", before, given);
    return path;
}

static void kill_groups(void) {
    int mine = getpgrp();
    for (int i = 0; i < GROUPS; i++)
        if (state->groups[i] && state->groups[i] != mine) kill(-state->groups[i], SIGKILL);
    kill(-mine, SIGKILL);
}

/* Whether a full disk refuses the call: what takes room does, and not what removes, renames or flushes. */
static int takes_room(const char *name) {
    return !strcmp(name, "open") || !strcmp(name, "write") || !strcmp(name, "mkdir") || !strcmp(name, "link");
}

/* Returns 0 where the call is to be made, or the errno with which it fails. */
static int meet(const char *name, const char *path) {
    uint64_t number = atomic_fetch_add(&state->count, 1) + 1;
    if (state->mode == COUNT || state->mode == RECORD || number < state->at) return 0;
    if (state->mode == FULL && !takes_room(name)) return 0;
    if (state->mode != FULL && number != state->at) return 0;
    if (!atomic_exchange(&state->fired, 1)) snprintf(state->what, sizeof state->what, "%s %.200s", name, path);
    if (state->mode == KILL) kill(getpid(), SIGKILL);
    if (state->mode == KILL_ALL) kill_groups();
    if (state->mode == KILL_PARENT) kill(-state->groups[0], SIGKILL);
    if (state->mode == INTERRUPT) kill(-state->groups[0], SIGINT); /* what Ctrl-C does */
    return state->mode == FAIL || state->mode == FULL ? (int)state->error : 0;
}

static void hold(void) {
    if (state->mode == RECORD)
        while (atomic_exchange(&state->lock, 1)) sched_yield();
}

static void let_go(void) {
    if (state->mode == RECORD) atomic_store(&state->lock, 0);
}

/* One record: a line of the kind, the file's inode, two numbers and the lengths, then the paths and the data. */
static void record(const char *kind, uint64_t inode, int64_t offset, const char *path, const char *other,
                   const struct iovec *data, int parts, size_t size) {
    if (log_fd < 0 || state->mode != RECORD) return;
    ssize_t (*writev_)(int, const struct iovec *, int) = dlsym(RTLD_NEXT, "writev");
    char head[160];
    int length = snprintf(head, sizeof head, "%s %llu %lld %zu %zu %zu\n", kind, (unsigned long long)inode,
                          (long long)offset, strlen(path), strlen(other), size);
    struct iovec all[3] = {{head, (size_t)length}, {(void *)path, strlen(path)}, {(void *)other, strlen(other)}};
    writev_(log_fd, all, 3);
    size_t left = size;
    for (int i = 0; i < parts && left; i++) {
        struct iovec one = {data[i].iov_base, data[i].iov_len < left ? data[i].iov_len : left};
        if (one.iov_len) writev_(log_fd, &one, 1);
        left -= one.iov_len;
    }
}

static uint64_t inode_of(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : (uint64_t)found.st_ino;
}

/* -- opening for writing ------------------------------------------------------------------------------------ */

static int opened(int folder, const char *given, int flags, mode_t mode) {
    REAL(openat);
    char buffer[PATH_MAX];
    const char *path;
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    if (!state || !writes || !below(path = of_path(folder, given, buffer))) return real(folder, given, flags, mode);
    int error = meet("open", path);
    if (error) return errno = error, -1;
    hold();
    int fd = real(folder, given, flags, mode);
    int saved = errno;
    if (fd >= 0) record(flags & O_TRUNC ? "truncate" : "open", inode_of(fd), 0, path, "", NULL, 0, 0);
    let_go();
    errno = saved;
    return fd;
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, last); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

int open(const char *path, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags, flags) return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags, flags) return opened(folder, path, flags | O_LARGEFILE, mode); }

/* -- writing ------------------------------------------------------------------------------------------------ */

static int meets_fd(const char *name, int fd, char *path) {
    return state && below(of_fd(fd, path)) ? meet(name, path) : -1;
}

static ssize_t placed(int fd, const void *data, size_t size, off64_t offset) {
    REAL(pwrite64);
    char path[PATH_MAX];
    int met = state ? meets_fd("write", fd, path) : -1;
    if (met < 0) return real(fd, data, size, offset);
    if (met) return errno = met, -1;
    hold();
    ssize_t done = real(fd, data, size, offset);
    int saved = errno;
    struct iovec one = {(void *)data, size};
    if (done > 0) record("write", inode_of(fd), offset, path, "", &one, 1, (size_t)done);
    let_go();
    errno = saved;
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return placed(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return placed(fd, data, size, offset); }

static ssize_t gathered(int fd, const struct iovec *data, int parts) {
    REAL(writev);
    char path[PATH_MAX];
    int met = state && fd > 2 ? meets_fd("write", fd, path) : -1;
    if (met < 0) return real(fd, data, parts);
    if (met) return errno = met, -1;
    hold();
    int append = fcntl(fd, F_GETFL) & O_APPEND;
    int64_t offset = append ? -1 : (int64_t)lseek(fd, 0, SEEK_CUR);
    ssize_t done = real(fd, data, parts);
    int saved = errno;
    if (done > 0) record("write", inode_of(fd), offset, path, "", data, parts, (size_t)done);
    let_go();
    errno = saved;
    return done;
}

ssize_t writev(int fd, const struct iovec *data, int parts) { return gathered(fd, data, parts); }
ssize_t write(int fd, const void *data, size_t size) {
    struct iovec one = {(void *)data, size};
    return gathered(fd, &one, 1);
}

static int cut(int fd, off64_t length) {
    REAL(ftruncate64);
    char path[PATH_MAX];
    int met = state ? meets_fd("truncate", fd, path) : -1;
    if (met > 0) return errno = met, -1;
    if (met < 0) return real(fd, length);
    hold();
    int done = real(fd, length);
    int saved = errno;
    if (!done) record("cut", inode_of(fd), length, path, "", NULL, 0, 0);
    let_go();
    errno = saved;
    return done;
}

int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut(fd, length); }

#define SYNC(name) \
    int name(int fd) { \
        REAL(name); \
        char path[PATH_MAX]; \
        int met = meets_fd("fsync", fd, path); \
        if (met > 0) return errno = met, -1; \
        if (met < 0) return real(fd); \
        hold(); \
        int done = real(fd), saved = errno; \
        if (!done) record("sync", inode_of(fd), 0, path, "", NULL, 0, 0); \
        let_go(); \
        errno = saved; \
        return done; \
    }
SYNC(fsync)
SYNC(fdatasync)

/* -- names -------------------------------------------------------------------------------------------------- */

#define TWO_NAMES(kind, call, from_folder, from, to_folder, to) \
    char first[PATH_MAX], second[PATH_MAX]; \
    if (!state) return call; \
    const char *here = of_path(from_folder, from, first), *there = of_path(to_folder, to, second); \
    if (!below(there) && !below(here)) return call; \
    int error = meet(kind, there); \
    if (error) return errno = error, -1; \
    hold(); \
    int done = call, saved = errno; \
    if (!done) record(kind, 0, 0, here, there, NULL, 0, 0); \
    let_go(); \
    errno = saved; \
    return done;

int rename(const char *from, const char *to) { REAL(rename); TWO_NAMES("rename", real(from, to), AT_FDCWD, from, AT_FDCWD, to) }
int renameat(int a, const char *from, int b, const char *to) { REAL(renameat); TWO_NAMES("rename", real(a, from, b, to), a, from, b, to) }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { REAL(renameat2); TWO_NAMES("rename", real(a, from, b, to, flags), a, from, b, to) }
int link(const char *from, const char *to) { REAL(link); TWO_NAMES("link", real(from, to), AT_FDCWD, from, AT_FDCWD, to) }
int linkat(int a, const char *from, int b, const char *to, int flags) { REAL(linkat); TWO_NAMES("link", real(a, from, b, to, flags), a, from, b, to) }

#define ONE_NAME(kind, call, folder, name) \
    char buffer[PATH_MAX]; \
    if (!state) return call; \
    const char *path = of_path(folder, name, buffer); \
    if (!below(path)) return call; \
    int error = meet(kind, path); \
    if (error) return errno = error, -1; \
    hold(); \
    int done = call, saved = errno; \
    if (!done) record(kind, 0, 0, path, "", NULL, 0, 0); \
    let_go(); \
    errno = saved; \
    return done;

int unlink(const char *name) { REAL(unlink); ONE_NAME("unlink", real(name), AT_FDCWD, name) }
int unlinkat(int folder, const char *name, int flags) { REAL(unlinkat); ONE_NAME(flags & AT_REMOVEDIR ? "rmdir" : "unlink", real(folder, name, flags), folder, name) }
int rmdir(const char *name) { REAL(rmdir); ONE_NAME("rmdir", real(name), AT_FDCWD, name) }
int mkdir(const char *name, mode_t mode) { REAL(mkdir); ONE_NAME("mkdir", real(name, mode), AT_FDCWD, name) }
int mkdirat(int folder, const char *name, mode_t mode) { REAL(mkdirat); ONE_NAME("mkdir", real(folder, name, mode), folder, name) }
