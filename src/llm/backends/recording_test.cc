#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "llm/backends/fake.h"
#include "llm/backends/replay.h"
#include "llm/decorators/record.h"
#include "llm/testing/numbered.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;

class RecordingTest : public ::testing::Test {
 protected:
  RecordingTest()
      : path_(std::filesystem::temp_directory_path() /
              fmt::format("throng_recording_{}_{}.jsonl", ::getpid(),
                          ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::remove(path_);
  }
  ~RecordingTest() override { std::filesystem::remove(path_); }

  static Request Ask(uint32_t agent, const std::string& prompt = "hello") {
    Request request;
    request.key = {agent, -2, 1};
    request.function = "say";
    request.prompt = prompt;
    return request;
  }

  // The answers of agents [first, last).
  std::vector<Completion> Record(uint32_t first, uint32_t last) {
    Numbered<RecordLlm> llm(std::make_unique<FakeLlm>(), path_);
    for (uint32_t agent = first; agent < last; ++agent) llm.Send(Ask(agent));
    std::vector<Completion> done;
    llm.Wait(done);
    return done;
  }

  std::string Read() const {
    std::ostringstream text;
    text << std::ifstream(path_).rdbuf();
    return text.str();
  }

  std::string ErrorOfReplay() const {
    try {
      ReplayLlm replay(path_);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  std::string path_;
};

TEST_F(RecordingTest, ReplayGivesTheSameAnswersInAnyOrder) {
  const std::vector<Completion> recorded = Record(0, 10);
  Numbered<ReplayLlm> replay(path_);
  EXPECT_EQ(replay.NumAnswers(), 10u);
  EXPECT_THAT(replay.Identity(), HasSubstr("replay of fake"));
  for (uint32_t agent = 10; agent-- > 0;) replay.Send(Ask(agent));
  std::vector<Completion> done;
  replay.Wait(done);
  ASSERT_EQ(done.size(), 10u);
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(done[i].id, i + 1);
    EXPECT_EQ(done[i].key.agent, 9 - i);
    EXPECT_EQ(done[i].text, recorded[9 - i].text);
    EXPECT_EQ(done[i].output_tokens, recorded[9 - i].output_tokens);
  }
}

TEST_F(RecordingTest, OtherQuestionsAreErrors) {
  Record(0, 2);
  Numbered<ReplayLlm> replay(path_);
  replay.Send(Ask(0, "hullo"));
  replay.Send(Ask(5));
  replay.Send(Ask(1));
  replay.Cancel(3);
  std::vector<Completion> done;
  replay.Wait(done);
  ASSERT_EQ(done.size(), 3u);
  EXPECT_THAT(done[0].error->what(), HasSubstr("call 1 of agent 0 in step -2 was another request"));
  EXPECT_THAT(done[1].error->what(), HasSubstr("no answer for call 1 (say) of agent 5"));
  EXPECT_EQ(done[2].finish, FinishReason::kCancelled);
  EXPECT_EQ(replay.GetStats().calls, 0u);
}

TEST_F(RecordingTest, GoesOnAfterAHalfLine) {
  Record(0, 2);
  std::ofstream(path_, std::ios::app) << R"({"agent":7,"st)";
  EXPECT_EQ(ReplayLlm(path_).NumAnswers(), 2u);
  Record(2, 4);
  EXPECT_EQ(ReplayLlm(path_).NumAnswers(), 4u);
}

TEST_F(RecordingTest, KeepsBytesThatAreNoText) {
  Completion completion;
  completion.key = {1, 2, 3};
  completion.text = std::string("a\xc3") + '\0';
  completion.finish = FinishReason::kLength;
  const RecordedAnswer answer = ParseRecordingLine(RecordingLine(completion, "f", "00"), "here");
  EXPECT_EQ(answer.completion.text, completion.text);
  EXPECT_EQ(answer.completion.finish, FinishReason::kLength);
  EXPECT_EQ(answer.completion.key, completion.key);
}

TEST_F(RecordingTest, RefusesWhatIsNoRecording) {
  EXPECT_THAT(ErrorOfReplay(), HasSubstr("cannot read"));
  std::ofstream(path_) << "";
  EXPECT_THAT(ErrorOfReplay(), HasSubstr(":1: the line is not a JSON object"));
  std::ofstream(path_) << R"({"throng_recording":9,"identity":"x"})"
                       << "\n";
  EXPECT_THAT(ErrorOfReplay(), HasSubstr("version 9"));
  EXPECT_THROW(RecordLlm(std::make_unique<FakeLlm>(), path_), Error);
  std::ofstream(path_) << R"({"throng_recording":1,"identity":"x"})"
                       << "\n"
                       << R"({"agent":1})"
                       << "\n";
  EXPECT_THAT(ErrorOfReplay(), HasSubstr(":2: the field \"function\""));
  EXPECT_THROW(RecordLlm(std::make_unique<FakeLlm>(), "/no/such/folder/x"), Error);
}

TEST_F(RecordingTest, ErrorsAndCancelledCallsAreNotRecorded) {
  Numbered<RecordLlm> llm(std::make_unique<FakeLlm>(FakeOptions{.latency = 1}), path_);
  llm.Send(Ask(0));
  llm.Cancel(llm.Send(Ask(1)));
  std::vector<Completion> done;
  llm.Wait(done);
  llm.Wait(done);
  EXPECT_EQ(done.size(), 2u);
  EXPECT_THAT(Read(), ::testing::Not(HasSubstr("\"agent\":1")));
  EXPECT_THAT(Read(), HasSubstr("\"agent\":0"));
}

}  // namespace
}  // namespace throng::llm
