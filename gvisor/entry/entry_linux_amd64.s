#include "textflag.h"

// The entry point of bulkhead-runsc on amd64: see the package's comment. There is
// no Go here yet: one thread, and the kernel's stack with argc, argv behind R12.
// Whatever fails is left to gVisor, which then does all of it itself.

#define SYS_read	0
#define SYS_poll	7
#define SYS_execve	59
#define SYS_exit	60
#define SYS_capget	125
#define SYS_capset	126
#define SYS_prctl	157
#define SYS_umount2	166

#define PR_SET_NAME	15
#define PR_CAPBSET_DROP	24
#define MNT_DETACH	2

DATA header<>+0(SB)/4, $0x20080522	// _LINUX_CAPABILITY_VERSION_3
DATA header<>+4(SB)/4, $0	// this thread
GLOBL header<>(SB), NOPTR, $8
// Effective, permitted, inheritable of capabilities 0 to 31; the same of the others.
GLOBL sets<>(SB), NOPTR, $24

DATA self<>+0(SB)/8, $"/proc/se"
DATA self<>+8(SB)/8, $"lf/exe\x00\x00"
GLOBL self<>(SB), RODATA|NOPTR, $16
DATA name<>+0(SB)/8, $"bulkhead"
DATA name<>+8(SB)/8, $"-runsc\x00\x00"
GLOBL name<>(SB), RODATA|NOPTR, $16
DATA resume<>+0(SB)/8, $"resume\x00\x00"
GLOBL resume<>(SB), RODATA|NOPTR, $8

TEXT bulkhead_entry(SB), NOSPLIT|NOFRAME, $0
	MOVQ	SP, R12
	CMPQ	0(R12), $2
	JLT	start
	MOVQ	16(R12), SI	// argv[1]
	MOVQ	0(SI), AX
	MOVQ	$0x0000746e756f6d75, DX	// umount
	XORQ	AX, DX
	SHLQ	$8, DX	// its last byte is of the next string
	JZ	umount
	MOVQ	0(SI), AX
	MOVQ	$0x000064656b726170, DX	// parked
	XORQ	AX, DX
	SHLQ	$8, DX
	JZ	parked

	MOVQ	8(R12), SI	// argv[0]
	MOVQ	0(SI), AX
	MOVQ	$0x8001f, R13	// the sentry's: chown, dac_override, dac_read_search, fowner, fsetid, sys_ptrace
	MOVQ	$0x200000, R14	// of these, sys_admin is for the process that unmounts /proc
	MOVQ	$0x61732d63736e7572, DX	// runsc-sa(ndbox)
	CMPQ	AX, DX
	JEQ	ours
	MOVQ	$0x4001f, R13	// the gofer's: sys_chroot instead of sys_ptrace
	MOVQ	$0, R14
	MOVQ	$0x6f672d63736e7572, DX	// runsc-go(fer)
	CMPQ	AX, DX
	JNE	start

ours:	// --debug-command=!supervise is there, --platform=kvm is not
	LEAQ	16(R12), BX
	MOVQ	$0, R15
argument:
	MOVQ	0(BX), SI
	TESTQ	SI, SI
	JZ	arguments
	ADDQ	$8, BX
	MOVQ	0(SI), AX
	MOVQ	$0x6f6674616c702d2d, DX	// --platfo
	CMPQ	AX, DX
	JEQ	platform
	MOVQ	$0x2d67756265642d2d, DX	// --debug-
	CMPQ	AX, DX
	JNE	argument
	MOVQ	8(SI), AX
	MOVQ	$0x3d646e616d6d6f63, DX	// command=
	CMPQ	AX, DX
	JNE	argument
	MOVQ	16(SI), AX
	MOVQ	$0x6976726570757321, DX	// !supervi(se)
	CMPQ	AX, DX
	JNE	argument
	MOVQ	$1, R15
	JMP	argument
platform:
	MOVQ	8(SI), AX
	MOVQ	$0x006d766b3d6d72, DX	// rm=kvm
	XORQ	AX, DX
	SHLQ	$8, DX
	JZ	start
	JMP	argument
arguments:
	TESTQ	R15, R15
	JZ	start

	// What a program that this process executes may have goes into the inheritable
	// set, which the bounding set then does not take from.
	MOVQ	$SYS_capget, AX
	LEAQ	header<>(SB), DI
	LEAQ	sets<>(SB), SI
	SYSCALL
	TESTQ	AX, AX
	JNZ	start
	MOVL	R14, sets<>+8(SB)
	MOVL	$0, sets<>+20(SB)
	MOVQ	$SYS_capset, AX
	LEAQ	header<>(SB), DI
	LEAQ	sets<>(SB), SI
	SYSCALL
	TESTQ	AX, AX
	JNZ	start

	MOVQ	$0, BX
bound:
	BTQ	BX, R13
	JCS	next
	MOVQ	$SYS_prctl, AX
	MOVQ	$PR_CAPBSET_DROP, DI
	MOVQ	BX, SI
	MOVQ	$0, DX
	MOVQ	$0, R10
	MOVQ	$0, R8
	SYSCALL
	CMPQ	AX, $-22	// EINVAL: the kernel has no more capabilities
	JEQ	bounded
	TESTQ	AX, AX
	JNZ	start
next:
	INCQ	BX
	CMPQ	BX, $64
	JLT	bound
bounded:
	// Without setpcap gVisor leaves the bounding set as it is.
	ANDL	$~0x100, sets<>+0(SB)
	ANDL	$~0x100, sets<>+4(SB)
	MOVQ	$SYS_capset, AX
	LEAQ	header<>(SB), DI
	LEAQ	sets<>(SB), SI
	SYSCALL
	JMP	start

umount:	// umount --sync-fd=3 /proc
	CMPQ	0(R12), $4
	JNE	start
	MOVQ	24(R12), SI
	MOVQ	0(SI), AX
	MOVQ	$0x662d636e79732d2d, DX	// --sync-f
	CMPQ	AX, DX
	JNE	start
	CMPL	8(SI), $0x333d64	// d=3
	JNE	start
	MOVQ	32(R12), SI
	MOVQ	0(SI), AX
	MOVQ	$0x0000636f72702f, DX	// /proc
	XORQ	AX, DX
	SHLQ	$16, DX
	JNZ	start
	MOVQ	$SYS_read, AX
	MOVQ	$3, DI
	LEAQ	sets<>(SB), SI
	MOVQ	$1, DX
	SYSCALL
	CMPQ	AX, $1
	JNE	failed
	MOVQ	$SYS_umount2, AX
	MOVQ	32(R12), DI
	MOVQ	$MNT_DETACH, SI
	SYSCALL
	TESTQ	AX, AX
	JNZ	failed
	MOVQ	$0, DI
	JMP	exit
failed:
	MOVQ	$1, DI
exit:
	MOVQ	$SYS_exit, AX
	SYSCALL

parked:	// an execve named this process after a link: see package supervisor
	MOVQ	$SYS_prctl, AX
	MOVQ	$PR_SET_NAME, DI
	LEAQ	name<>(SB), SI
	SYSCALL
	SUBQ	$416, SP	// three struct pollfd; three struct signalfd_siginfo from 32 on
	MOVL	$3, 0(SP)	// wire.LifelineFD
	MOVL	$253, 8(SP)	// supervisor.sentryFD
	MOVL	$254, 16(SP)	// supervisor.signalFD
	MOVL	$1, 4(SP)	// POLLIN
	MOVL	$1, 12(SP)
	MOVL	$1, 20(SP)
wait:
	MOVQ	$SYS_poll, AX
	MOVQ	SP, DI
	MOVQ	$3, SI
	MOVQ	$-1, DX
	SYSCALL
	CMPQ	AX, $-4	// EINTR
	JEQ	wait
	// Whatever it is that happened, the supervisor ends the sandbox. A signal that was
	// left pending would kill it as soon as Go starts.
	MOVQ	$SYS_read, AX
	MOVQ	$254, DI
	LEAQ	32(SP), SI
	MOVQ	$384, DX
	SYSCALL
	LEAQ	resume<>(SB), AX
	MOVQ	AX, 16(R12)
	MOVQ	0(R12), DX
	LEAQ	16(R12)(DX*8), DX	// the environment is behind argc, argv, nil
	LEAQ	8(R12), SI
	LEAQ	self<>(SB), DI
	MOVQ	$SYS_execve, AX
	SYSCALL
	JMP	failed

start:
	MOVB	$1, ·ran(SB)
	JMP	_rt0_amd64_linux(SB)
