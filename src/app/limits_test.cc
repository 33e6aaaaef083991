#include "app/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace throng::app {
namespace {

llm::Completion Failed(ErrorCode code) {
  llm::Completion completion;
  completion.finish = llm::FinishReason::kError;
  completion.error = Error(code, "it failed");
  return completion;
}

TEST(FallBack, IsARuleByTheKindOfFailure) {
  for (const ErrorCode code : {ErrorCode::kBadAnswer, ErrorCode::kUnavailable, ErrorCode::kExhausted,
                               ErrorCode::kUnsupported, ErrorCode::kInvalid, ErrorCode::kCancelled}) {
    const bool bad_answer = code == ErrorCode::kBadAnswer;
    const bool for_all = code == ErrorCode::kInvalid || code == ErrorCode::kCancelled;
    EXPECT_FALSE(FallsBack(FallBack::kNever)(Failed(code))) << ErrorCodeName(code);
    EXPECT_EQ(FallsBack(FallBack::kAnswer)(Failed(code)), bad_answer) << ErrorCodeName(code);
    EXPECT_EQ(FallsBack(FallBack::kAny)(Failed(code)), !for_all) << ErrorCodeName(code);
  }
}

TEST(FallBack, IsNamed) {
  EXPECT_EQ(ParseFallBack("never"), FallBack::kNever);
  EXPECT_EQ(ParseFallBack("answer"), FallBack::kAnswer);
  EXPECT_EQ(ParseFallBack("any"), FallBack::kAny);
  EXPECT_EQ(ParseFallBack(Limits().fallback), FallBack::kAnswer);
  EXPECT_THROW(ParseFallBack("1"), Error);
}

}  // namespace
}  // namespace throng::app
