module plugmux.dev

go 1.25.0
