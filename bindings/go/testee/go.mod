module github.com/russellromney/honker-go/testee

go 1.23

require (
	github.com/mattn/go-sqlite3 v1.14.32
	github.com/russellromney/honker-go v0.0.0
)

require github.com/ebitengine/purego v0.10.2 // indirect

replace github.com/russellromney/honker-go => ..
