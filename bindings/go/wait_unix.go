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
	if err := syscall.SetNonblock(copied, true); err != nil { // what Go's poller is to take has to be
		_ = syscall.Close(copied)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(copied), "honker"), nil
}
