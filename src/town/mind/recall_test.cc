#include "town/mind/recall.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "town/content/json_file.h"
#include "town/mind/hidden.h"

namespace throng::town {
namespace {

using testing::ElementsAre;

std::vector<std::string> TextsOf(const llm::Request& request) {
  EXPECT_EQ(request.kind, llm::Kind::kEmbedding);
  EXPECT_EQ(request.effect, llm::Effect::kPure);
  return Json::parse(request.prompt).at("texts").get<std::vector<std::string>>();
}

TEST(Recall, AsksOnlyForWhatHasNoEmbedding) {
  TownMind mind;
  mind.memories.Append(0, 0, MemoryKind::kSaw, 1, "You saw Mia.");
  mind.memories.Append(0, 0, MemoryKind::kPlanned, 1, "You planned: a walk.");
  mind.memories.Append(0, 0, MemoryKind::kDid, 1, "You began to walk.");
  EXPECT_THAT(TextsOf(AskEmbeddings(mind, "Mia")), ElementsAre("Mia", "You saw Mia.", "You began to walk."));
  const Digest before = TownMind::Seal(mind)->memories.GetDigest();
  EXPECT_EQ(TakeEmbeddings("[[9,9],[127,0],[0,-127]]", mind), (Embedding{9, 9}));
  EXPECT_EQ(mind.embeddings.Size(), 3u);
  EXPECT_EQ(mind.memories.GetDigest(), before);
  EXPECT_THAT(mind.embeddings.CosinesTo({0, -5}), ElementsAre(0, 0, Embeddings::kOne));

  EXPECT_THAT(TextsOf(AskEmbeddings(mind, "Ben")), ElementsAre("Ben"));
  mind.memories.Append(0, 0, MemoryKind::kSaw, 1, "You saw Ben.");
  EXPECT_THAT(TextsOf(AskEmbeddings(mind, "Ben")), ElementsAre("Ben", "You saw Ben."));
}

TEST(Recall, AnotherAnswerChangesNothing) {
  TownMind mind;
  mind.memories.Append(0, 0, MemoryKind::kSaw, 1, "You saw Mia.");
  for (const char* answer :
       {"", "no JSON", "{}", "[]", "[[1,2]]", "[[1,2],[1,2],[1,2]]", "[[1,2],[1]]", "[[1,2],[1,128]]",
        "[[1,2],[1,-128]]", "[[1,2],[1,0.5]]", "[[1,2],[]]", "[[1,2],\"a\"]", "[[],[]]"}) {
    EXPECT_EQ(TakeEmbeddings(answer, mind), std::nullopt) << answer;
    EXPECT_EQ(mind.embeddings.Size(), 0u);
  }
  EXPECT_TRUE(TakeEmbeddings("[[1,2],[2,1]]", mind));
  EXPECT_EQ(TakeEmbeddings("[[1,2,3]]", mind), std::nullopt);  // of another length than the memories'
}

TEST(Recall, WhatIsNotHiddenKeepsItsEmbedding) {
  TownMind mind;
  mind.memories.Append(0, 0, MemoryKind::kSaw, 1, "You saw Mia.");
  mind.memories.Append(0, 0, MemoryKind::kThought, 1, "You thought: Mia is kind.");
  TakeEmbeddings("[[1,1],[127,0],[0,127]]", mind);
  const TownMind known = Without(mind, {.observations = true});
  ASSERT_EQ(known.memories.Size(), 1u);
  EXPECT_THAT(known.embeddings.CosinesTo({0, 1}), ElementsAre(Embeddings::kOne));
}

TEST(Recall, EmbeddingsBelongToTheMind) {
  TownMind mind;
  mind.memories.Append(0, 0, MemoryKind::kSaw, 1, "You saw Mia.");
  const auto digest = [](const TownMind& one) {
    Hasher hasher;
    TownMind::Seal(one)->Hash(hasher);
    return hasher.Finish();
  };
  const Digest without = digest(mind);
  TownMind other = mind;
  TakeEmbeddings("[[1,2],[2,1]]", mind);
  TakeEmbeddings("[[1,2],[2,2]]", other);
  EXPECT_NE(digest(mind), without);
  EXPECT_NE(digest(mind), digest(other));
  ByteWriter out;
  mind.Write(out);
  const std::string bytes = out.Take();
  ByteReader in(bytes);
  const std::shared_ptr<const TownMind> read = TownMind::Read(in);
  EXPECT_TRUE(in.IsAtEnd());
  EXPECT_EQ(digest(*read), digest(mind));
}

}  // namespace
}  // namespace throng::town
