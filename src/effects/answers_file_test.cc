#include "effects/answers_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "base/error.h"
#include "effects/effects_llm.h"
#include "llm/backends/backend_spec.h"

namespace throng::effects {
namespace {

using testing::HasSubstr;

std::string NameOf(uint32_t agent) { return agent == 0 ? "Ada" : "Ben"; }

class AnswersFileTest : public testing::Test {
 protected:
  ~AnswersFileTest() override { std::remove(path_.c_str()); }
  AnswersFile Make(const std::string& text) {
    std::ofstream(path_) << text;
    return AnswersFile(path_, NameOf);
  }
  std::string ErrorOf(const std::string& text) {
    try {
      AnswersFile file = Make(text);
      file.Put(Ask(0, 1));
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  static llm::Request Ask(uint32_t agent, int step) {
    llm::Request request;
    request.id = agent + 1;
    request.key = {agent, step, 0};
    request.kind = llm::Kind::kPerson;
    request.prompt = "Where to?";
    request.constraint.choices = {"home", "work"};
    return request;
  }
  std::string path_ = testing::TempDir() + "answers_file_test";
};

TEST_F(AnswersFileTest, TheFirstLineThatFitsAnswers) {
  AnswersFile file = Make(
      "{\"agent\": \"Ada\", \"step\": 2, \"answer\": \"work\"}\n\n{\"agent\": \"Ada\", \"answer\": "
      "\"home\"}\n"
      "{\"answer\": \"work\"}\n");
  const auto answer = [&](uint32_t agent, int step) {
    file.Put(Ask(agent, step));
    return *file.Take(Ask(agent, step));
  };
  EXPECT_EQ(answer(0, 1), "home");
  EXPECT_EQ(answer(0, 2), "work");
  EXPECT_EQ(answer(1, 2), "work");
}

TEST_F(AnswersFileTest, MistakesAreToldWithTheirLine) {
  EXPECT_THAT(ErrorOf("{\"answer\": \"home\"}\nyes\n"), HasSubstr("line 2: yes; allowed: a JSON object"));
  EXPECT_THAT(ErrorOf("{\"agent\": 3, \"answer\": \"home\"}"), HasSubstr("line 1: "));
  EXPECT_THAT(ErrorOf("{\"agent\": \"Ada\"}"), HasSubstr("line 1: "));
  EXPECT_THAT(ErrorOf("[1]"), HasSubstr("line 1: [1]"));
  EXPECT_THAT(ErrorOf("{\"answer\": \"home\", \"who\": 3}"), HasSubstr("line 1: \"who\" is unknown"));
  EXPECT_THAT(ErrorOf("{\"agent\": \"Ben\", \"answer\": \"home\"}"),
              HasSubstr("there is none for Ada in step 1, who is asked \"Where to?\""));
  EXPECT_THAT(ErrorOf("{\"answer\": \"pub\"}"),
              HasSubstr("Ada in step 1 answers \"pub\", allowed: home, work"));
  EXPECT_THROW(AnswersFile("/no/such/file", NameOf), Error);
}

EffectsOptions With(People* people) {
  EffectsOptions options;
  options.people = people;
  return options;
}

TEST_F(AnswersFileTest, APersonMayTakeTimeAndOthersGoOn) {
  AnswersFile file =
      Make("{\"agent\": \"Ada\", \"answer\": \"home\", \"seconds\": 0.3}\n{\"answer\": \"work\"}\n");
  EffectsLlm llm(llm::MakeBackend("fake:latency=1"), With(&file));
  llm.Submit(Ask(0, 1));
  llm.Submit(Ask(1, 1));
  std::vector<llm::Completion> done;
  llm.Wait(done, llm::Llm::kForever);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].text, "work");
  llm::Request call;
  call.id = 9;
  call.prompt = "What else?";
  llm.Submit(call);
  llm.Wait(done, llm::Llm::kForever);
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[1].id, 9u);
  llm.Wait(done, 0.01);
  EXPECT_EQ(done.size(), 2u);
  llm.Wait(done, llm::Llm::kForever);
  ASSERT_EQ(done.size(), 3u);
  EXPECT_EQ(done[2].text, "home");
  EXPECT_EQ(done[2].finish, llm::FinishReason::kStop);
}

TEST_F(AnswersFileTest, WhoDoesNotAnswerInTimeHasAnsweredTheDefault) {
  AnswersFile file = Make("{\"answer\": \"work\", \"seconds\": 1000}\n");
  for (People* people : {static_cast<People*>(&file), static_cast<People*>(nullptr)}) {
    EffectsLlm llm(llm::MakeBackend("fake"), With(people));
    llm::Request ask = Ask(0, 1);
    ask.patience_s = 0.05;
    ask.otherwise = "home";
    llm.Submit(ask);
    std::vector<llm::Completion> done;
    llm.Wait(done, llm::Llm::kForever);
    EXPECT_EQ(done.at(0).text, "home");
  }
}

TEST_F(AnswersFileTest, QuestionsEndWhenTheyAreCancelledAndMustNotWaitForEver) {
  AnswersFile file = Make("{\"answer\": \"work\", \"seconds\": 1000}\n");
  EffectsLlm llm(llm::MakeBackend("fake"), With(&file));
  llm.Submit(Ask(0, 1));
  std::thread([&] { llm.Cancel(1); }).join();
  std::vector<llm::Completion> done;
  llm.Wait(done, llm::Llm::kForever);
  EXPECT_EQ(done.at(0).finish, llm::FinishReason::kCancelled);
  EffectsLlm alone(llm::MakeBackend("fake"), With(nullptr));
  EXPECT_THROW(alone.Submit(Ask(0, 1)), Error);
}

}  // namespace
}  // namespace throng::effects
