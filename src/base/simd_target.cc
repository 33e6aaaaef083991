#include "base/simd_target.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "hwy/highway.h"
#include "hwy/targets.h"

#if HWY_ARCH_X86_64 && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace throng {
namespace {

constexpr std::string_view kAmx = "AMX";

// Whether the processor has tiles of at least 8 KiB and their products of bytes, and the system lets us use
// them. Sources: Intel's architecture manual (CPUID 7, 13, 29) and Documentation/arch/x86/xstate.rst of
// Linux.
bool MayUseAmx() {
#if HWY_ARCH_X86_64 && defined(__linux__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kSavesState = 1u << 27, kTiles = 1u << 24, kBytes = 1u << 25;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & kSavesState)) return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & kTiles) || !(d & kBytes)) return false;
  // Of the first palette: bytes of all tiles; bytes of a tile's row; their number and rows.
  if (!__get_cpuid_count(0x1d, 1, &a, &b, &c, &d)) return false;
  if ((a & 0xffff) < 8192 || (b & 0xffff) < 64 || (b >> 16) < 8 || (c & 0xffff) < 16) return false;
  uint32_t low = 0, high = 0;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr uint32_t kTileState = 3u << 17;
  if ((low & kTileState) != kTileState) return false;
  constexpr long kAskForState = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kAskForState, kTileData) == 0;
#else
  return false;
#endif
}

std::atomic<bool> amx_is_allowed = true;

}  // namespace

bool UsesAmx() {
  static const bool may_use = MayUseAmx();
  return may_use && amx_is_allowed.load(std::memory_order_relaxed);
}

void AllowAmx(bool allowed) { amx_is_allowed.store(allowed, std::memory_order_relaxed); }

void ApplyForcedTarget() {
  const char* wanted = std::getenv("THRONG_FORCE_TARGET");
  if (wanted == nullptr || *wanted == '\0') return;
  std::string allowed;
  if (UsesAmx()) {
    if (wanted == kAmx) return;
    allowed = kAmx;
  }
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    const std::string_view name = hwy::TargetName(target);
    if (name == wanted) {
      hwy::DisableTargets(target - 1);  // better targets have lower bits
      AllowAmx(false);
      return;
    }
    allowed += allowed.empty() ? "" : ", ";
    allowed += name;
  }
  throw MakeError(ErrorCode::kInvalid, "THRONG_FORCE_TARGET is {}, this machine has {}", wanted, allowed);
}

}  // namespace throng
