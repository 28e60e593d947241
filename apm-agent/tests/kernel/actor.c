/* A process that makes system calls on command: the tests watch it and know exactly what it did.
 *
 * Commands come in lines on standard input; each is answered by `result errno` on standard output. Descriptors have
 * one-letter names. Every transfer takes its bytes from one pattern: byte i of a call is i % 251.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#define ROOM (1 << 20)
#define MOST 64
#define PAGE 4096
#define IS(name) (strcmp(op, name) == 0)

static unsigned char pattern[ROOM], room[ROOM];
static int fds[128];
static int release_pipe[2];
static pid_t child;

/* `count` vectors that share `length` bytes of `memory` evenly, the last one takes what is left over. */
static int vectors(struct iovec *vector, unsigned char *memory, long length, int count)
{
    long each = length / count;
    for (int i = 0; i < count; i++) {
        vector[i].iov_base = memory + i * each;
        vector[i].iov_len = i == count - 1 ? length - i * each : each;
    }
    return count;
}

static long message(int fd, unsigned char *memory, long length, int count, int flags)
{
    struct iovec vector[MOST];
    struct msghdr header = {.msg_iov = vector, .msg_iovlen = vectors(vector, memory, length, count)};
    return memory == pattern ? sendmsg(fd, &header, flags) : recvmsg(fd, &header, flags);
}

/* `count` messages of `length` bytes each, each with the pattern from its start. */
static long messages(int fd, unsigned char *memory, long length, int count)
{
    struct iovec vector[MOST];
    struct mmsghdr headers[MOST] = {0};
    for (int i = 0; i < count; i++) {
        vector[i].iov_base = memory;
        vector[i].iov_len = length;
        headers[i].msg_hdr.msg_iov = &vector[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    return memory == pattern ? sendmmsg(fd, headers, count, 0) : recvmmsg(fd, headers, count, 0, NULL);
}

static long send_file(int fd, long length)
{
    int file = memfd_create("pattern", 0);
    if (write(file, pattern, length) != length)
        return -1;
    off_t start = 0;
    long sent = sendfile(fd, file, &start, length);
    close(file);
    return sent;
}

static long splice_through(int fd, long length, int in)
{
    int ends[2];
    if (pipe(ends) != 0 || (!in && write(ends[1], pattern, length) != length))
        return -1;
    long moved = in ? splice(fd, NULL, ends[1], NULL, length, 0) : splice(ends[0], NULL, fd, NULL, length, 0);
    close(ends[0]);
    close(ends[1]);
    return moved;
}

struct fault {
    int fd;
    unsigned char *pages;
    long result;
};

static void *receive_all(void *argument)
{
    struct fault *fault = argument;
    fault->result = recv(fault->fd, fault->pages, 2 * PAGE, MSG_WAITALL);
    return NULL;
}

/* Receives two pages, the first of which is unmapped before the call is over. */
static long receive_into_hole(int from, int fd)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS, waiting = 1;
    struct fault fault = {.fd = fd, .pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0)};
    pthread_t thread;
    if (write(from, pattern, PAGE) != PAGE || pthread_create(&thread, NULL, receive_all, &fault) != 0)
        return -1;
    while (waiting)
        ioctl(fd, FIONREAD, &waiting);
    munmap(fault.pages, PAGE);
    if (write(from, pattern, PAGE) != PAGE)
        return -1;
    pthread_join(thread, NULL);
    munmap(fault.pages + PAGE, PAGE);
    return fault.result;
}

static int address(const char *text, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (strcmp(text, "tcp4") == 0) {
        *(struct sockaddr_in *)out = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        return sizeof(struct sockaddr_in);
    }
    if (strcmp(text, "tcp6") == 0) {
        *(struct sockaddr_in6 *)out = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
        return sizeof(struct sockaddr_in6);
    }
    struct sockaddr_un *path = (struct sockaddr_un *)out;
    path->sun_family = AF_UNIX;
    strncpy(path->sun_path, text, sizeof path->sun_path - 1);
    if (text[0] != '@')
        return sizeof *path;
    path->sun_path[0] = 0;
    return offsetof(struct sockaddr_un, sun_path) + strlen(text);
}

static int bound(const char *text)
{
    struct sockaddr_storage where;
    int length = address(text, &where);
    int fd = socket(where.ss_family, SOCK_STREAM, 0);
    return bind(fd, (struct sockaddr *)&where, length) == 0 ? fd : -1;
}

/* Connects to where another descriptor is bound. */
static long connect_to(char name, int listener, int flags)
{
    struct sockaddr_storage where;
    socklen_t length = sizeof where;
    getsockname(listener, (struct sockaddr *)&where, &length);
    fds[(int)name] = socket(where.ss_family, SOCK_STREAM | flags, 0);
    return connect(fds[(int)name], (struct sockaddr *)&where, length);
}

static long pair(char one, char other)
{
    int ends[2], bytes = 1 << 20;
    long result = socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    for (int i = 0; i < 2; i++)
        setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    fds[(int)one] = ends[0];
    fds[(int)other] = ends[1];
    return result;
}

static long port(int fd)
{
    struct sockaddr_storage where = {0};
    socklen_t length = sizeof where;
    getsockname(fd, (struct sockaddr *)&where, &length);
    return ntohs(((struct sockaddr_in *)&where)->sin_port);
}

static long inode(int fd)
{
    struct stat about;
    return fstat(fd, &about) == 0 ? (long)about.st_ino : -1;
}

static long registered(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, fd, &event);
}

/* The child waits until it may go; or it becomes another program. */
static long forked(const char *program)
{
    if (pipe(release_pipe) != 0)
        return -1;
    child = fork();
    if (child != 0)
        return child;
    close(release_pipe[1]);
    char byte;
    if (read(release_pipe[0], &byte, 1) != 0)
        _exit(1);
    if (program[0])
        execl(program, program, NULL);
    _exit(7);
}

static long reaped(void)
{
    int status = 0;
    close(release_pipe[1]);
    close(release_pipe[0]);
    return waitpid(child, &status, 0) == child ? status : -1;
}

static long keep(char name, int fd)
{
    fds[(int)name] = fd;
    return fd;
}

int main(int count, char **arguments)
{
    (void)count;
    char line[512];
    signal(SIGPIPE, SIG_IGN);
    /* Orders that come after an exec are for the new image. */
    setvbuf(stdin, NULL, _IONBF, 0);
    for (int i = 0; i < ROOM; i++)
        pattern[i] = i % 251;
    while (fgets(line, sizeof line, stdin)) {
        char op[32] = "", text[256] = "", second = 0;
        char name = 0;
        long length = 0;
        int number = 1, flags = 0;
        sscanf(line, "%31s %c %255s", op, &name, text);
        sscanf(line, "%*s %*c %ld %d %d", &length, &number, &flags);
        second = text[0];
        int fd = fds[(int)name], other = fds[(int)second];
        struct iovec vector[MOST];
        long result = -1;
        errno = 0;
        if (IS("pair")) result = pair(name, second);
        else if (IS("bind")) result = keep(name, bound(text));
        else if (IS("listen")) result = listen(keep(name, bound(text)), 16);
        else if (IS("listen0")) result = listen(keep(name, bound(text)), 0);
        else if (IS("connect")) result = connect_to(name, other, 0);
        else if (IS("connect_later")) result = connect_to(name, other, SOCK_NONBLOCK);
        else if (IS("accept")) result = keep(name, syscall(SYS_accept, other, NULL, NULL));
        else if (IS("accept4")) result = keep(name, accept4(other, NULL, NULL, SOCK_CLOEXEC));
        else if (IS("read")) result = read(fd, room, length);
        else if (IS("readv")) result = readv(fd, vector, vectors(vector, room, length, number));
        else if (IS("recv")) result = recv(fd, room, length, 0);
        else if (IS("peek")) result = recv(fd, room, length, MSG_PEEK);
        else if (IS("recvmsg")) result = message(fd, room, length, number, 0);
        else if (IS("peekmsg")) result = message(fd, room, length, number, MSG_PEEK);
        else if (IS("recvmmsg")) result = messages(fd, room, length, number);
        else if (IS("write")) result = write(fd, pattern, length);
        else if (IS("writev")) result = writev(fd, vector, vectors(vector, pattern, length, number));
        else if (IS("send")) result = send(fd, pattern, length, 0);
        else if (IS("sendmsg")) result = message(fd, pattern, length, number, 0);
        else if (IS("sendmmsg")) result = messages(fd, pattern, length, number);
        else if (IS("sendfile")) result = send_file(fd, length);
        else if (IS("splice_in")) result = splice_through(fd, length, 1);
        else if (IS("splice_out")) result = splice_through(fd, length, 0);
        else if (IS("hole")) result = receive_into_hole(fd, other);
        else if (IS("close")) result = close(fd);
        else if (IS("dup")) result = keep(second, dup(fd));
        else if (IS("dup2")) result = syscall(SYS_dup2, fd, other);
        else if (IS("dup3")) result = dup3(fd, other, O_CLOEXEC);
        else if (IS("close_range")) result = syscall(SYS_close_range, fd, other, 0);
        else if (IS("shutdown")) result = shutdown(fd, (int)length);
        else if (IS("epoll")) result = registered(fd);
        else if (IS("port")) result = port(fd);
        else if (IS("inode")) result = inode(fd);
        else if (IS("fork")) result = forked(text);
        else if (IS("reap")) result = reaped();
        else if (IS("exec")) result = execv("/proc/self/exe", arguments);
        else if (IS("exit")) _exit((int)length);
        else errno = ENOSYS;
        printf("%ld %d\n", result, result < 0 ? errno : 0);
        fflush(stdout);
    }
    return 0;
}
