module example.com/go-reader

go 1.19
