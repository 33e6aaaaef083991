// Tests that run on every SIMD target of this machine:
//
//   class MyTest : public EachTarget {};
//   INSTANTIATE_TEST_SUITE_P(Targets, MyTest, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
//   TargetOf);
#pragma once

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cstdint>
#include <string>

namespace throng {

class EachTarget : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { Limit(GetParam()); }
  void TearDown() override { Limit(0); }

 private:
  // 0: no limit.
  static void Limit(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

inline std::string TargetOf(const testing::TestParamInfo<int64_t>& info) {
  return hwy::TargetName(info.param);
}

}  // namespace throng
