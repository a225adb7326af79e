//go:build unix

package honker

import (
	"os"
	"syscall"
)

// pollable is a file for Go's poller on a copy of a descriptor, which is the library's.
func pollable(descriptor int) (*os.File, error) {
	syscall.ForkLock.RLock()
	copied, err := syscall.Dup(descriptor)
	if err == nil {
		syscall.CloseOnExec(copied)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(copied), "honker"), nil // non-blocking, as the library has made it
}
