#include "gpu/graph_device.h"

#include <gtest/gtest.h>

#include <vector>

#include "device/emulation/emulated_device.h"
#include "gpu/rows.h"

namespace throng::gpu {
namespace {

using device::RowOp;

struct Rig {
  // Doubles the first `count` of x, adds 1, and copies them `copies` times.
  void Step(int count, int copies = 1) {
    Map(graphs, RowOp::kScale, x.Data(), count, nullptr, 1, 2.0f);
    Map(graphs, RowOp::kAdd, x.Data(), count, ones.Data(), 8);
    Map(graphs, RowOp::kScale, x.Data(), 0, nullptr, 1, 1.0f);
    for (int i = 0; i < copies; ++i) graphs.Copy(copy.Data(), x.Data(), 8 * sizeof(float));
  }
  float First() {
    float first;
    graphs.CopyFrom(&first, copy.Data(), sizeof(first));
    return first;
  }

  std::unique_ptr<device::Device> device = device::MakeEmulatedDevice({.seed = 1});
  GraphDevice graphs{*device};
  const std::vector<float> values{1, 1, 1, 1, 1, 1, 1, 1};
  device::DeviceArray<float> x{*device, std::span<const float>(values)};
  device::DeviceArray<float> ones{*device, std::span<const float>(values)};
  device::DeviceArray<float> copy{*device, 8};
};

TEST(GraphDevice, RunsWhatComesAgainAsAGraph) {
  Rig rig;
  float expected = 1.0f;
  for (int step = 0; step < 5; ++step) {
    rig.Step(8);
    expected = 2.0f * expected + 1.0f;
    EXPECT_EQ(rig.First(), expected);
    EXPECT_EQ(rig.graphs.Captures(), step == 0 ? 0 : 1);
    EXPECT_EQ(rig.graphs.Replays(), step);
  }
}

// Another grid, another argument, or more of them: a graph of its own, and the first one is still there.
TEST(GraphDevice, CapturesOtherLaunchesAnew) {
  Rig rig;
  int captures = 0;
  float expected = 1.0f;
  for (const auto& [count, copies] : std::vector<std::pair<int, int>>{{8, 1}, {7, 1}, {8, 2}}) {
    for (int step = 0; step < 3; ++step) {
      rig.Step(count, copies);
      expected = 2.0f * expected + 1.0f;
      EXPECT_EQ(rig.First(), expected);
    }
    EXPECT_EQ(rig.graphs.Captures(), ++captures);
  }
  const int replays = rig.graphs.Replays();
  rig.Step(8);
  EXPECT_EQ(rig.First(), 2.0f * expected + 1.0f);
  EXPECT_EQ(rig.graphs.Captures(), captures);
  EXPECT_EQ(rig.graphs.Replays(), replays + 1);
}

TEST(GraphDevice, RunsInTheOrderOfCalls) {
  Rig rig;
  rig.Step(8);
  const float four = 4.0f;
  rig.graphs.CopyTo(rig.x.Data(), &four, sizeof(four));  // after the step, before what follows
  EXPECT_EQ(rig.First(), 3.0f);
  rig.Step(8);
  EXPECT_EQ(rig.First(), 9.0f);
}

TEST(GraphDevice, ForgetsAPassThatFailed) {
  Rig rig;
  rig.Step(8);
  EXPECT_EQ(rig.First(), 3.0f);
  rig.Step(8);
  rig.graphs.Discard();
  EXPECT_EQ(rig.First(), 3.0f);
}

TEST(GraphDevice, KeepsSoManyAndNoMore) {
  Rig rig;
  for (int round = 0; round < 2; ++round) {
    for (int copies = 1; copies <= 70; ++copies) {
      rig.Step(0, copies);
      rig.graphs.Wait();
    }
  }
  EXPECT_EQ(rig.graphs.Captures(), 0);  // each was forgotten before it came again
}

}  // namespace
}  // namespace throng::gpu
