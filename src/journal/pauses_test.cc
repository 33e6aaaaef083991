#include <gtest/gtest.h>

#include "base/error.h"
#include "journal/read/reader.h"
#include "journal/store/scratch_journal.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

class PausesTest : public testing::Test {
 protected:
  PausesTest() {
    Get().Begin({}, world_, {}, "test");
    Get().StartSession();
  }
  Journal& Get() { return journal_.Get(); }
  std::optional<PauseRow> Shown() { return Reader(*Journal::OpenToRead(Get().Path())).OpenPause(); }

  sim::WalkerWorld world_{sim::WalkerOptions{}};
  ScratchJournal journal_;
};

TEST_F(PausesTest, OneProcessAsksAndTheRunSaysWhenItBegan) {
  EXPECT_FALSE(Get().IsPaused());
  EXPECT_FALSE(Shown().has_value());
  Journal::SetPaused(Get().Path(), true);
  Journal::SetPaused(Get().Path(), true);
  EXPECT_EQ(Shown().value().begun, "");
  EXPECT_TRUE(Get().IsPaused());
  EXPECT_NE(Shown().value().begun, "");
  EXPECT_TRUE(Get().IsPaused());
  Journal::SetPaused(Get().Path(), false);
  EXPECT_FALSE(Get().IsPaused());
  Journal::SetPaused(Get().Path(), false);
  Journal::SetPaused(Get().Path(), true);  // within the same second
  EXPECT_EQ(Shown().value().begun, "");
  EXPECT_TRUE(Get().IsPaused());
}

TEST_F(PausesTest, TheNextProgramGoesOn) {
  Journal::SetPaused(Get().Path(), true);
  EXPECT_TRUE(Get().IsPaused());
  Get().StartSession();  // the one before was killed
  EXPECT_FALSE(Get().IsPaused());
}

TEST_F(PausesTest, NothingIsPausedThatDoesNotRun) {
  const auto refusal = [&] {
    try {
      Journal::SetPaused(Get().Path(), true);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  Get().EndSession("stopped");
  EXPECT_NE(refusal().find("no program runs it"), std::string::npos) << refusal();
  Get().StartSession();
  EXPECT_EQ(refusal(), "");
  Get().SetHash({});
  Get().Flush();
  EXPECT_NE(refusal().find("the run is done"), std::string::npos) << refusal();
}

}  // namespace
}  // namespace throng::journal
