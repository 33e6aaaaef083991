#include "town/mind/news.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace throng::town {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const Content& BuiltIn() {
  static const Content content = LoadContent(std::string(THRONG_SOURCE_DIR) + "/town");
  return content;
}

PlaceId PlaceOf(const char* name) { return *ParsePlace(BuiltIn(), name); }

// Ada's news for Ben at this minute.
std::vector<std::string> AdaTellsBen(const TownMind& mind, int32_t minute,
                                     const std::vector<Utterance>& talk = {}) {
  std::vector<std::string> texts;
  for (const NewsItem& item : NewsFor({BuiltIn(), BuiltIn().personas[0], mind, minute}, "Ben", talk)) {
    texts.push_back(item.text);
  }
  return texts;
}

void Hear(TownMind& mind, int32_t minute, const std::string& text, int importance = 7) {
  mind.memories.Append(0, minute, MemoryKind::kHeard, importance, text);
}

TEST(Sentences, EndWithTheirMarks) {
  EXPECT_THAT(SentencesOf("hello Ada. where is Mia? it costs 2.50 coins!  come"),
              ElementsAre("hello Ada.", "where is Mia?", "it costs 2.50 coins!", "come"));
  EXPECT_THAT(SentencesOf("the concert is at 18:00."), ElementsAre("the concert is at 18:00."));
  EXPECT_THAT(SentencesOf(""), IsEmpty());
}

TEST(News, WhatOneHeardIsPassedOnWithoutWhatWasSaidAroundIt) {
  TownMind mind;
  Hear(mind, 480,
       "Mia said: thanks Ada. I will come to the fair. the concert is at the park at 18:00. bye Ada.");
  EXPECT_THAT(AdaTellsBen(mind, 490), ElementsAre("the concert is at the park at 18:00."));
}

TEST(News, WordsFromOutsideArePassedOnToo) {
  TownMind mind;
  Hear(mind, 480, "the bridge is closed. it rains.");
  EXPECT_THAT(AdaTellsBen(mind, 490), ElementsAre("the bridge is closed."));
}

TEST(News, WhatTheOtherSaidOrWasToldIsNotNews) {
  TownMind mind;
  Hear(mind, 480, "Ben said: hello Ada. Leo likes tea.");
  Hear(mind, 481, "Mia said: Finn likes jazz.");
  Hear(mind, 482, "Mia said: Olga needs a ladder.");
  EXPECT_THAT(AdaTellsBen(mind, 490), ElementsAre("Olga needs a ladder.", "Finn likes jazz."));
  mind.memories.Append(0, 491, MemoryKind::kSaid, 2, "You said to Ben: hello Ben. Finn likes jazz.");
  EXPECT_THAT(AdaTellsBen(mind, 492), ElementsAre("Olga needs a ladder."));
  EXPECT_THAT(AdaTellsBen(mind, 492, {{true, "thanks Ben. Olga needs a ladder."}}), IsEmpty());
}

TEST(News, NobodyIsToldAboutOneself) {
  TownMind mind;
  Hear(mind, 480, "Mia said: Ben needs a ladder.");
  Hear(mind, 480, "Mia said: Ada needs a hammer.");
  Hear(mind, 480, "Mia said: Benno needs a rope.");
  EXPECT_THAT(AdaTellsBen(mind, 490), ElementsAre("Benno needs a rope."));
}

TEST(News, WhatIsOverIsNoNews) {
  TownMind mind;
  Hear(mind, 480, "Mia said: the concert is at the park at 10:00.");
  EXPECT_THAT(AdaTellsBen(mind, 599), ElementsAre("the concert is at the park at 10:00."));
  EXPECT_THAT(AdaTellsBen(mind, 600), IsEmpty());
  EXPECT_THAT(AdaTellsBen(mind, 24 * 60 + 500), IsEmpty());  // "10:00" was yesterday's
}

TEST(News, SightsAreNewsForAnHour) {
  TownMind mind;
  mind.memories.Append(0, 480, MemoryKind::kSaw, 2, "You saw Mia at the library.");
  EXPECT_THAT(AdaTellsBen(mind, 540), ElementsAre("I saw Mia at the library."));
  EXPECT_THAT(AdaTellsBen(mind, 541), IsEmpty());
}

TEST(News, TheImportantAndTheLatestComeFirstAndThreeAreEnough) {
  TownMind mind;
  Hear(mind, 400, "Mia said: the race is at the gym at 17:00.", 8);
  Hear(mind, 400, "Mia said: Finn likes jazz.", 4);
  Hear(mind, 480, "Mia said: Leo likes tea.", 4);
  Hear(mind, 400, "Mia said: the honey costs 7 coins.", 3);
  EXPECT_THAT(AdaTellsBen(mind, 490),
              ElementsAre("the race is at the gym at 17:00.", "Leo likes tea.", "Finn likes jazz."));
}

TEST(News, TheNextEntryOfThePlanComesLast) {
  TownMind mind;
  mind.plan = std::make_shared<const Plan>(Plan{{7, PlaceOf("cafe"), "serve guests"},
                                                {17, PlaceOf("park"), "play chess"},
                                                {21, BuiltIn().home, "read a novel"}});
  Hear(mind, 480, "Mia said: Finn likes jazz.");
  EXPECT_THAT(AdaTellsBen(mind, 490),
              ElementsAre("Finn likes jazz.", "I will play chess at the park at 17:00."));
  EXPECT_EQ(IntentionText({BuiltIn(), BuiltIn().personas[0], mind, 17 * 60}),
            "I will read a novel at home at 21:00.");
  EXPECT_EQ(IntentionText({BuiltIn(), BuiltIn().personas[0], mind, 21 * 60}), "");
  EXPECT_THAT(AdaTellsBen(mind, 490, {{true, "I will play chess at the park at 17:00."}}),
              ElementsAre("Finn likes jazz."));
}

}  // namespace
}  // namespace throng::town
