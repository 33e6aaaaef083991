#include "journal/people.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "journal/llm/journaled_llm.h"
#include "journal/store/scratch_journal.h"
#include "sim/testing/test_worlds.h"

namespace throng::journal {
namespace {

class JournalPeopleTest : public testing::Test {
 protected:
  JournalPeopleTest() { journal_.Get().Begin({}, world_, {}, "test"); }
  static llm::Request Ask(int step) {
    llm::Request request;
    request.key = {2, step, 1};
    request.kind = llm::Kind::kPerson;
    request.prompt = "Where to?";
    request.constraint.choices = {"home", "work"};
    return request;
  }
  std::vector<OpenQuestion> Open() { return OpenQuestions(*Journal::OpenToRead(journal_.Get().Path())); }

  sim::WalkerWorld world_{sim::WalkerOptions{}};
  ScratchJournal journal_;
};

TEST_F(JournalPeopleTest, QuestionsWaitUntilSomebodyAnswersThem) {
  JournalPeople people(journal_.Get());
  people.Put(Ask(4));
  people.Put(Ask(3));
  EXPECT_FALSE(people.Take(Ask(3)).has_value());
  std::vector<OpenQuestion> open = Open();
  ASSERT_EQ(open.size(), 2u);
  EXPECT_EQ(open[0].key, Ask(3).key);
  EXPECT_EQ(open[0].text, "Where to?");
  EXPECT_EQ(open[0].choices, (std::vector<std::string>{"home", "work"}));
  EXPECT_EQ(open[0].asked.size(), std::string("2026-01-31T09:30:00Z").size());
  EXPECT_THROW(AnswerQuestion(journal_.Get().Path(), open[0], "pub"), Error);
  EXPECT_TRUE(AnswerQuestion(journal_.Get().Path(), open[0], "work"));
  EXPECT_FALSE(AnswerQuestion(journal_.Get().Path(), open[0], "home"));
  EXPECT_EQ(people.Take(Ask(3)), "work");
  EXPECT_FALSE(people.Take(Ask(4)).has_value());
  EXPECT_EQ(Open().size(), 1u);
}

// The process that asked has died: the next one finds the answer.
TEST_F(JournalPeopleTest, AnAnswerGivenWhileNobodyRunsIsFound) {
  JournalPeople(journal_.Get()).Put(Ask(3));
  EXPECT_TRUE(AnswerQuestion(journal_.Get().Path(), Open().at(0), "home"));
  JournalPeople later(journal_.Get());
  later.Put(Ask(3));
  EXPECT_EQ(later.Take(Ask(3)), "home");
}

// As when a default has answered after the timeout.
TEST_F(JournalPeopleTest, WhatTheRunHasAnsweredIsNoLongerOpen) {
  JournalPeople people(journal_.Get());
  people.Put(Ask(3));
  llm::Completion completion;
  completion.key = Ask(3).key;
  completion.text = "home";
  const OpenQuestion seen = Open().at(0);
  journal_.Get().AddAnswer(completion, journal_.Get().AddQuestion(Ask(3)), 0, 0);
  journal_.Get().Flush();
  EXPECT_TRUE(Open().empty());
  EXPECT_FALSE(AnswerQuestion(journal_.Get().Path(), seen, "work")) << "it would have been taken in silence";
}

}  // namespace
}  // namespace throng::journal
