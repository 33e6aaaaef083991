// Checks for our own bugs: they abort with a message. Never reachable from a file, prompt, request or trace.
#pragma once

namespace throng {

[[noreturn]] void CheckFailed(const char* file, int line, const char* expression);

}  // namespace throng

#define THRONG_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::throng::CheckFailed(__FILE__, __LINE__, #condition))

// Only in builds with THRONG_DCHECKS: for invariants that cost time to check.
#ifdef THRONG_DCHECKS
#define THRONG_DCHECK(condition) THRONG_CHECK(condition)
#else
#define THRONG_DCHECK(condition) static_cast<void>(0)
#endif
