// Tests that run on every SIMD target of this machine:
//
//   class MyTest : public EachTarget {};
//   INSTANTIATE_TEST_SUITE_P(Targets, MyTest, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
//   TargetOf);
//
// With TargetsAndAmx() they also run with Intel's matrix instructions; on other targets without them.
#pragma once

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/amx.h"

namespace throng {

// Stands for the best target and matrix instructions. No target of Highway.
constexpr int64_t kAmxTarget = 1;

inline std::vector<int64_t> TargetsAndAmx() {
  std::vector<int64_t> targets = hwy::SupportedAndGeneratedTargets();
  if (AmxInt8Usable()) targets.push_back(kAmxTarget);
  return targets;
}

// 0: no limit.
inline void LimitToTarget(int64_t target) {
  AllowAmx(target == 0 || target == kAmxTarget);
  hwy::SetSupportedTargetsForTest(target == kAmxTarget ? 0 : target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

class EachTarget : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { LimitToTarget(GetParam()); }
  void TearDown() override { LimitToTarget(0); }
};

inline std::string TargetOf(const testing::TestParamInfo<int64_t>& info) {
  return info.param == kAmxTarget ? "AMX" : hwy::TargetName(info.param);
}

}  // namespace throng
