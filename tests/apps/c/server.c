/* A thread per connection, a small pool of PostgreSQL connections shared by all threads: the same database connection
 * serves one request after the other, each on its own thread, so a link by connection alone would be wrong.
 *
 * GET /item/ID   one query whose text holds the ID
 * GET /error     a query that fails, answered with 500
 */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { POOL = 16, REQUEST = 16384 };

static PGconn *pool[POOL];
static int pooled;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t returned = PTHREAD_COND_INITIALIZER;

static PGconn *take(void)
{
    pthread_mutex_lock(&lock);
    while (pooled == 0)
        pthread_cond_wait(&returned, &lock);
    PGconn *connection = pool[--pooled];
    pthread_mutex_unlock(&lock);
    return connection;
}

static void give_back(PGconn *connection)
{
    pthread_mutex_lock(&lock);
    pool[pooled++] = connection;
    pthread_cond_signal(&returned);
    pthread_mutex_unlock(&lock);
}

/* Fills `body`, returns the status. */
static int answer(const char *path, char *body, size_t size)
{
    char statement[128];
    int id = 0, status = 200;
    if (sscanf(path, "/item/%d", &id) == 1)
        snprintf(statement, sizeof statement, "SELECT name FROM items WHERE id = %d", id);
    else if (strncmp(path, "/error", 6) == 0)
        snprintf(statement, sizeof statement, "SELECT nothing FROM missing_table");
    else {
        snprintf(body, size, "not found");
        return 404;
    }
    PGconn *connection = take();
    PGresult *result = PQexec(connection, statement);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        snprintf(body, size, "%s", PQresultErrorField(result, PG_DIAG_SQLSTATE));
        status = 500;
    } else if (PQntuples(result) == 0) {
        snprintf(body, size, "no such item");
        status = 404;
    } else
        snprintf(body, size, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    give_back(connection);
    return status;
}

static int send_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return -1;
        bytes += sent;
        length -= (size_t)sent;
    }
    return 0;
}

static int reply(int fd, char *request)
{
    char body[256], head[512], path[1024] = "", method[16] = "";
    if (sscanf(request, "%15s %1023s", method, path) != 2)
        return -1;
    int status = answer(path, body, sizeof body);
    const char *reason = status == 200 ? "OK" : status == 404 ? "Not Found" : "Internal Server Error";
    int length = snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\nContent-Length: %zu\r\n\r\n%s", status, reason,
                          strlen(body), strcmp(method, "HEAD") == 0 ? "" : body);
    return send_all(fd, head, (size_t)length);
}

static void *serve(void *argument)
{
    int fd = (int)(long)argument;
    char request[REQUEST + 1];
    size_t length = 0;
    for (;;) {
        ssize_t got = recv(fd, request + length, REQUEST - length, 0);
        if (got <= 0)
            break;
        length += (size_t)got;
        request[length] = 0;
        char *end;
        int failed = 0;
        while (!failed && (end = strstr(request, "\r\n\r\n")) != NULL) {
            failed = reply(fd, request);
            size_t used = (size_t)(end + 4 - request);
            length -= used;
            memmove(request, request + used, length + 1);
        }
        if (failed || length == REQUEST)
            break;
    }
    close(fd);
    return NULL;
}

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((unsigned short)atoi(getenv("PORT")));
    signal(SIGPIPE, SIG_IGN);
    for (; pooled < POOL; pooled++) {
        pool[pooled] = PQconnectdb(getenv("DATABASE_URL"));
        if (PQstatus(pool[pooled]) != CONNECTION_OK) {
            fprintf(stderr, "%s", PQerrorMessage(pool[pooled]));
            return 1;
        }
    }
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0) {
        perror("listen");
        return 1;
    }
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 * 1024);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        pthread_t thread;
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (pthread_create(&thread, &small, serve, (void *)(long)fd) != 0)
            close(fd);
    }
}
