#include "textflag.h"

// A child that shares memory returns from the system call first, on the stack
// on which its parent returns later: so the return address must not stay there,
// and package syscall has the only function that sees to that.

// func rawVfork(trap, a1, a2, a3 uintptr) (r1, errno uintptr)
TEXT ·rawVfork(SB),NOSPLIT|NOFRAME,$0-48
	JMP	syscall·rawVforkSyscall(SB)
