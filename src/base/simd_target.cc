#include "base/simd_target.h"

#include <cstdlib>
#include <string>
#include <string_view>

#include "base/amx.h"
#include "base/error.h"
#include "hwy/highway.h"
#include "hwy/targets.h"

namespace throng {

void ApplyForcedTarget() {
  const char* wanted = std::getenv("THRONG_FORCE_TARGET");
  if (wanted == nullptr || *wanted == '\0') return;
  std::string allowed;
  if (AmxInt8Usable()) {
    if (wanted == std::string_view("AMX")) return;
    allowed = "AMX";
  }
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    const std::string_view name = hwy::TargetName(target);
    if (name == wanted) {
      AllowAmx(false);
      hwy::DisableTargets(target - 1);  // better targets have lower bits
      return;
    }
    allowed += allowed.empty() ? "" : ", ";
    allowed += name;
  }
  throw MakeError(ErrorCode::kInvalid, "THRONG_FORCE_TARGET is {}, this machine has {}", wanted, allowed);
}

bool HasBfloatProducts() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0;
  return has;
#else
  return false;
#endif
}

}  // namespace throng
