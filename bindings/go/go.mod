module github.com/russellromney/honker-go

go 1.23

require github.com/ebitengine/purego v0.10.2
