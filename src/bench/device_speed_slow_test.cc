// Measurements of a model on the emulated GPU: blocks that this processor fills are copied there.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "bench/model_speed.h"
#include "bench/random_model.h"
#include "engine/loaded_model.h"

namespace throng::bench {
namespace {

TEST(DeviceSpeedTest, MeasuresAtADepth) {
  const std::vector<uint8_t> bytes = RandomModel("tiny", model::TensorType::kQ8_0);
  const model::GgufFile file(bytes, "tiny");
  const auto transformer = engine::LoadTransformer(file, "emulation", "off");
  ThreadPool threads(1);
  ReadMeter memory(threads);
  ModelSpeed speed(file, *transformer, {.kv = "flashq4"}, kv::SoftmaxKind::kExact, size_t{8} << 20, threads);
  speed.Fill(2, 128);
  EXPECT_EQ(speed.Prefill(2, 1, memory).tokens, 2);  // and the last one alone has the same logits
  EXPECT_EQ(speed.Decode(1, 1, memory).tokens, 2);   // and each alone
}

}  // namespace
}  // namespace throng::bench
