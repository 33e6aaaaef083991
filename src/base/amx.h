// The tiles of AMX, which multiply matrices of bytes: sixteen times the products of a vector instruction.
#pragma once

namespace throng {

// Whether kernels may use AMX for bytes: this processor has it, the system lets this process use it, and
// AllowAmx does. Integer sums are exact, so results are those of other instructions.
bool AmxInt8Usable();

// Without it, as on a machine without AMX: for tests, and for THRONG_FORCE_TARGET (simd_target.h).
void AllowAmx(bool allowed);

// While one exists, this thread's tiles 0 to 7 are configured as 16 rows of 64 bytes each; their contents are
// lost in its constructor and destructor unless an outer one exists. To be made only if AmxInt8Usable().
// Loading a configuration takes about 50 ns, so callers of many kernels make one around them all. The
// configuration does not outlive it, because libraries in this process may use tiles on the same thread.
class TileScope {
 public:
  TileScope();
  ~TileScope();
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;
};

}  // namespace throng
