#include "town/mind/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace throng::town {
namespace {

using testing::ElementsAre;

std::vector<uint32_t> Ids(const std::vector<const Memory*>& memories) {
  std::vector<uint32_t> ids;
  for (const Memory* memory : memories) ids.push_back(memory->id);
  return ids;
}

std::vector<const Memory*> Recall(const MemoryStream& stream, const Words& query, int32_t now_minute,
                                  const RetrievalLimits& limits) {
  const std::vector<const Memory*> all = stream.All();
  return Retrieve(all, RelevanceByWords(all, query), now_minute, limits);
}

constexpr RetrievalLimits kOne = {1, 10000, 60};

TEST(Memory, WordsIgnoreCaseAndOrderAndKeepTimesWhole) {
  EXPECT_EQ(WordsOf("The cat, the CAT."), WordsOf("cat the"));
  EXPECT_EQ(WordsOf("at 18:00.").size(), 2u);
  EXPECT_EQ(WordsOf("said: hello").size(), 2u);
  EXPECT_EQ(WordsOf("").size(), 0u);
  EXPECT_EQ(WordsOf("caf\xc3\xa9").size(), 1u);
  EXPECT_NE(WordsOf("18:00"), WordsOf("18:30"));
}

TEST(Memory, CopiesShareThePastAndGoTheirOwnWays) {
  MemoryStream a;
  for (int i = 0; i < 40; ++i) a.Append(0, i, MemoryKind::kDid, 1, "memory " + std::to_string(i));
  MemoryStream b = a;
  EXPECT_EQ(a.GetDigest(), b.GetDigest());
  b.Append(0, 40, MemoryKind::kSaw, 2, "only b");
  EXPECT_EQ(a.Size(), 40u);
  EXPECT_NE(a.GetDigest(), b.GetDigest());
  a.Append(0, 40, MemoryKind::kSaw, 2, "only a");
  EXPECT_NE(a.GetDigest(), b.GetDigest());
  EXPECT_EQ(a.All()[3], b.All()[3]);
  EXPECT_EQ(a.All()[40]->text, "only a");
  EXPECT_EQ(b.All()[40]->text, "only b");
  for (uint32_t i = 0; i < 41; ++i) EXPECT_EQ(a.All()[i]->id, i);
}

TEST(Memory, DigestTellsEveryFieldApart) {
  const auto digest = [](int minute, MemoryKind kind, int importance, const char* text) {
    MemoryStream stream;
    stream.Append(0, minute, kind, importance, text);
    return stream.GetDigest();
  };
  const Digest base = digest(1, MemoryKind::kSaw, 1, "a");
  EXPECT_EQ(base, digest(1, MemoryKind::kSaw, 1, "a"));
  EXPECT_NE(base, digest(2, MemoryKind::kSaw, 1, "a"));
  EXPECT_NE(base, digest(1, MemoryKind::kDid, 1, "a"));
  EXPECT_NE(base, digest(1, MemoryKind::kSaw, 2, "a"));
  EXPECT_NE(base, digest(1, MemoryKind::kSaw, 1, "b"));
}

TEST(Memory, RetrievalPrefersTheRelevantTheRecentTheImportant) {
  MemoryStream stream;
  stream.Append(0, 0, MemoryKind::kHeard, 3, "Ben said: the concert is at the park at 18:00.");
  stream.Append(0, 0, MemoryKind::kHeard, 3, "Mia said: the honey is cheap.");
  EXPECT_THAT(Ids(Recall(stream, WordsOf("Where is the concert?"), 0, kOne)), ElementsAre(0));
  EXPECT_THAT(Ids(Recall(stream, WordsOf("honey"), 0, kOne)), ElementsAre(1));
  // Without a question, the later of equals.
  EXPECT_THAT(Ids(Recall(stream, {}, 0, kOne)), ElementsAre(1));
  stream.Append(0, 0, MemoryKind::kHeard, 9, "Ada said: fire!");
  stream.Append(0, 0, MemoryKind::kHeard, 3, "Leo said: hello.");
  EXPECT_THAT(Ids(Recall(stream, {}, 0, kOne)), ElementsAre(2));
  stream.Append(0, 500, MemoryKind::kHeard, 3, "Leo said: hello again.");
  EXPECT_THAT(Ids(Recall(stream, {}, 500, kOne)), ElementsAre(4));
}

TEST(Memory, RareWordsCountMoreThanCommonOnes) {
  MemoryStream stream;
  stream.Append(0, 0, MemoryKind::kHeard, 3, "the ring is the thing");
  for (int i = 0; i < 10; ++i) stream.Append(0, 0, MemoryKind::kHeard, 3, "the bread is fresh");
  // Ten memories have two of the three words, the first has the rare one.
  EXPECT_THAT(Ids(Recall(stream, WordsOf("fresh bread ring"), 0, {1, 1000, 60})), ElementsAre(0));
}

TEST(Memory, RetrievalKeepsItsLimitsAndTheOrderOfTime) {
  MemoryStream stream;
  for (int i = 0; i < 50; ++i) stream.Append(0, i, MemoryKind::kSaw, 1 + i % 5, std::string(31, 'x'));
  EXPECT_EQ(Recall(stream, {}, 50, {20, 10000, 60}).size(), 20u);
  EXPECT_EQ(Recall(stream, {}, 50, {20, 200, 60}).size(), 5u);  // 40 bytes each, with the time
  const std::vector<uint32_t> ids = Ids(Recall(stream, {}, 50, {20, 10000, 60}));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  EXPECT_TRUE(Recall(MemoryStream(), WordsOf("a"), 0, kOne).empty());
}

TEST(Memory, RelevanceByEmbeddingsGoesFromTheLeastToTheMostSimilar) {
  MemoryStream stream;
  Embeddings embeddings;
  const auto add = [&](MemoryKind kind, const Embedding& embedding) {
    stream.Append(0, 0, kind, 3, "text " + std::to_string(stream.Size()));
    embeddings.Append(embedding);
  };
  add(MemoryKind::kSaw, {100, 0});
  add(MemoryKind::kPlanned, {0, 0});
  add(MemoryKind::kSaw, {60, 80});
  add(MemoryKind::kSaw, {80, 60});
  const std::vector<const Memory*> all = stream.All();
  const std::vector<int64_t> relevance = RelevanceByEmbeddings(all, embeddings, {1, 0});
  EXPECT_THAT(relevance, ElementsAre(1000, 0, 0, testing::AllOf(testing::Ge(499), testing::Le(500))));
  EXPECT_THAT(Ids(Retrieve(all, relevance, 0, kOne)), ElementsAre(0));
  EXPECT_THAT(Ids(Retrieve(all, RelevanceByEmbeddings(all, embeddings, {0, 1}), 0, kOne)), ElementsAre(2));
  // What all have equally tells nothing: the later of equals.
  EXPECT_THAT(RelevanceByEmbeddings(all, embeddings, {0, 0}), testing::Each(0));
  EXPECT_THAT(Ids(Retrieve(all, RelevanceByEmbeddings(all, embeddings, {0, 0}), 0, kOne)), ElementsAre(3));
}

TEST(Memory, PlansAreRememberedButNotRetrieved) {
  MemoryStream stream;
  stream.Append(0, 0, MemoryKind::kPlanned, 10, "You planned: a walk");
  EXPECT_TRUE(Recall(stream, WordsOf("walk"), 0, kOne).empty());
  EXPECT_EQ(stream.Size(), 1u);
}

}  // namespace
}  // namespace throng::town
