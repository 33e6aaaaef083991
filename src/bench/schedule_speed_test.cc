#include "bench/schedule_speed.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "sim/frame_pool.h"

namespace throng::bench {
namespace {

TEST(MeasureSchedule, OutOfOrderEndsWhereLockstepDoes) {
  for (const double tiles : {30.0, 140.0}) {
    for (const sim::Coupling coupling : {sim::Coupling::kPaper, sim::Coupling::kVersioned}) {
      ScheduleLoad load;
      load.agents = 500;
      load.steps = 25;
      load.tiles_per_agent = tiles;
      load.coupling = coupling;
      load.perceives = true;
      const ScheduleCost lockstep = MeasureSchedule(load, sim::Mode::kLockstep);
      const ScheduleCost ooo = MeasureSchedule(load, sim::Mode::kOutOfOrder);
      EXPECT_EQ(ooo.end, lockstep.end);
      EXPECT_EQ(ooo.agent_steps, 500u * 25);
      EXPECT_LE(lockstep.max_spread, 1);
      EXPECT_GT(ooo.max_spread, 1);
      EXPECT_LT(ooo.virtual_s, lockstep.virtual_s);
      EXPECT_GE(ooo.checked_agents, 20u);
      load.seed = 2;
      EXPECT_NE(MeasureSchedule(load, sim::Mode::kOutOfOrder).end, ooo.end);
    }
  }
}

TEST(MeasureSchedule, AWholeRunIsTheSameInBothOrders) {
  ScheduleLoad load;
  load.agents = 300;
  load.steps = 20;
  const ScheduleCost lockstep = MeasureWholeRun(load, sim::Mode::kLockstep);
  const ScheduleCost ooo = MeasureWholeRun(load, sim::Mode::kOutOfOrder);
  EXPECT_EQ(ooo.end, lockstep.end);
  EXPECT_GT(ooo.max_spread, 1);
  EXPECT_EQ(ooo.agent_steps, 300u * 20);
  EXPECT_GT(ooo.bytes_per_agent, sizeof(sim::Pos) + sizeof(sim::Step));
#ifndef THRONG_FRAMES_FROM_HEAP  // where they are not counted
  EXPECT_GT(ooo.call_bytes_per_agent, 0u);
#endif
  load.seed = 2;
  EXPECT_NE(MeasureWholeRun(load, sim::Mode::kOutOfOrder).end, ooo.end);
}

TEST(MeasureSchedule, TheSchedulerNeedsAtMost300BytesPerAgent) {
  for (const double tiles : {20.0, 70.0, 140.0, 300.0, 1000.0}) {
    for (const sim::Mode mode : {sim::Mode::kLockstep, sim::Mode::kOutOfOrder}) {
      ScheduleLoad load;
      load.agents = 3000;
      load.steps = 5;
      load.tiles_per_agent = tiles;
      EXPECT_LE(MeasureWholeRun(load, mode).bytes_per_agent, 300u)
          << tiles << " tiles, " << sim::ModeName(mode);
    }
  }
}

// The graph driven alone and the scheduler make the same schedule.
TEST(MeasureSchedule, AWholeRunTakesTheVirtualTimeOfItsGraph) {
  ScheduleLoad load;
  load.agents = 700;
  load.steps = 30;
  for (const sim::Mode mode : {sim::Mode::kLockstep, sim::Mode::kOutOfOrder}) {
    const ScheduleCost graph = MeasureSchedule(load, mode);
    const ScheduleCost run = MeasureWholeRun(load, mode);
    EXPECT_DOUBLE_EQ(run.virtual_s, graph.virtual_s);
    EXPECT_EQ(run.clusters, graph.clusters);
    EXPECT_EQ(run.largest_cluster, graph.largest_cluster);
    EXPECT_LT(graph.bytes_per_agent, run.bytes_per_agent);
  }
}

TEST(MeasureSchedule, RefusesWhatItCannotMeasure) {
  EXPECT_THROW(MeasureSchedule({}, sim::Mode::kSingle), Error);
  ScheduleLoad load;
  load.tiles_per_agent = 0;
  EXPECT_THROW(MeasureSchedule(load, sim::Mode::kLockstep), Error);
}

}  // namespace
}  // namespace throng::bench
