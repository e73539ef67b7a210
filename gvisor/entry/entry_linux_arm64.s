#include "textflag.h"

// On arm64 nothing is done ahead: gVisor does all of it.
TEXT bulkhead_entry(SB), NOSPLIT|NOFRAME, $0
	JMP	_rt0_arm64_linux(SB)
