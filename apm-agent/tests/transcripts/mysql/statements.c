/* Prepared statements by libmariadb: a cursor, long data, no parameters, several executions; `statements <port>`. */
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int failed, const char *what) {
    if (failed) {
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

static MYSQL_STMT *prepare(MYSQL *mysql, const char *text) {
    MYSQL_STMT *statement = mysql_stmt_init(mysql);
    check(mysql_stmt_prepare(statement, text, strlen(text)), text);
    return statement;
}

static void all(MYSQL_STMT *statement) {
    check(mysql_stmt_execute(statement), "execute");
    while (mysql_stmt_fetch(statement) == 0) {
    }
}

int main(int argc, char **argv) {
    check(argc != 2, "which port?");
    MYSQL *mysql = mysql_init(NULL);
    check(!mysql_real_connect(mysql, "127.0.0.1", "shop", NULL, "shop", atoi(argv[1]), NULL, 0), "connect");
    MYSQL_STMT *plain = prepare(mysql, "SELECT COUNT(*) FROM items");
    all(plain);
    all(plain);
    MYSQL_STMT *cursor = prepare(mysql, "SELECT id, name FROM items WHERE id <= 5");
    unsigned long type = CURSOR_TYPE_READ_ONLY, rows = 2;
    mysql_stmt_attr_set(cursor, STMT_ATTR_CURSOR_TYPE, &type);
    mysql_stmt_attr_set(cursor, STMT_ATTR_PREFETCH_ROWS, &rows);
    all(cursor);
    MYSQL_STMT *insert = prepare(mysql, "INSERT INTO items (name) VALUES (?)");
    MYSQL_BIND bind;
    memset(&bind, 0, sizeof bind);
    bind.buffer_type = MYSQL_TYPE_BLOB;
    mysql_stmt_bind_param(insert, &bind);
    mysql_stmt_send_long_data(insert, 0, "long ", 5);
    mysql_stmt_send_long_data(insert, 0, "data", 4);
    check(mysql_stmt_execute(insert), "insert");
    mysql_stmt_reset(insert);
    mysql_stmt_close(plain);
    mysql_stmt_close(cursor);
    mysql_stmt_close(insert);
    check(mysql_query(mysql, "DELETE FROM items WHERE name = 'long data'"), "delete");
    mysql_close(mysql);
    return 0;
}
