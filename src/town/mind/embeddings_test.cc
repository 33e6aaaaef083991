#include "town/mind/embeddings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/rng.h"

namespace throng::town {
namespace {

Embedding Random(CounterRng& rng, size_t numbers) {
  Embedding embedding(numbers);
  for (int8_t& number : embedding) number = static_cast<int8_t>(static_cast<int>(rng.NextBelow(255)) - 127);
  return embedding;
}

double Cosine(const Embedding& a, const Embedding& b) {
  double dot = 0;
  double aa = 0;
  double bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return aa == 0 || bb == 0 ? 0 : dot / std::sqrt(aa * bb);
}

TEST(Embeddings, CosinesAreThoseOfTheNumbers) {
  for (const size_t numbers : {1, 31, 32, 33, 256, 1000}) {
    CounterRng rng(numbers);
    Embeddings embeddings;
    std::vector<Embedding> all;
    for (int i = 0; i < 40; ++i) {
      all.push_back(i == 7 ? Embedding(numbers) : Random(rng, numbers));
      embeddings.Append(all.back());
    }
    const Embedding query = Random(rng, numbers);
    const std::vector<int64_t> cosines = embeddings.CosinesTo(query);
    ASSERT_EQ(cosines.size(), 40u);
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_NEAR(static_cast<double>(cosines[i]) / Embeddings::kOne, Cosine(all[i], query), 1e-4);
    }
    EXPECT_EQ(cosines[7], 0);
  }
}

TEST(Embeddings, TheLongestAndLargestDoNotOverflow) {
  Embeddings embeddings;
  embeddings.Append(Embedding(Embeddings::kMostNumbers, 127));
  embeddings.Append(Embedding(Embeddings::kMostNumbers, -127));
  EXPECT_THAT(embeddings.CosinesTo(Embedding(Embeddings::kMostNumbers, 127)),
              testing::ElementsAre(Embeddings::kOne, -Embeddings::kOne));
}

TEST(Embeddings, CopiesShareThePastAndGoTheirOwnWays) {
  CounterRng rng(1);
  Embeddings a;
  for (int i = 0; i < 20; ++i) a.Append(Random(rng, 8));
  Embeddings b = a;
  EXPECT_EQ(a.GetDigest(), b.GetDigest());
  const Embedding one = Random(rng, 8);
  const Embedding other = Random(rng, 8);
  a.Append(one);
  b.Append(other);
  EXPECT_NE(a.GetDigest(), b.GetDigest());
  EXPECT_NEAR(static_cast<double>(a.CosinesTo(one)[20]), Embeddings::kOne, 100);
  EXPECT_NEAR(static_cast<double>(b.CosinesTo(other)[20]), Embeddings::kOne, 100);
  EXPECT_EQ(a.CosinesTo(one)[3], b.CosinesTo(one)[3]);
}

TEST(Embeddings, WhatIsWrittenIsReadAgain) {
  CounterRng rng(2);
  Embeddings embeddings;
  for (int i = 0; i < 35; ++i) embeddings.Append(Random(rng, 48));
  ByteWriter out;
  embeddings.Write(out);
  Embeddings().Write(out);
  const std::string bytes = out.Take();
  EXPECT_EQ(bytes.size(), 2 * 12 + 35 * 48u);
  ByteReader in(bytes);
  const Embeddings read = Embeddings::Read(in);
  EXPECT_EQ(read.GetDigest(), embeddings.GetDigest());
  EXPECT_EQ(read.Size(), 35u);
  const Embedding query = Random(rng, 48);
  EXPECT_EQ(read.CosinesTo(query), embeddings.CosinesTo(query));
  EXPECT_EQ(Embeddings::Read(in).Size(), 0u);
  EXPECT_TRUE(in.IsAtEnd());
}

TEST(Embeddings, DamagedBytesAreRefused) {
  const auto read = [](uint32_t numbers, uint64_t count, size_t bytes) {
    ByteWriter out;
    out.Add(numbers).Add(count);
    const std::string all = out.Take() + std::string(bytes, '\1');
    ByteReader in(all);
    Embeddings::Read(in);
  };
  EXPECT_NO_THROW(read(4, 2, 8));
  EXPECT_THROW(read(4, 2, 7), Error);
  EXPECT_THROW(read(0, 2, 8), Error);
  EXPECT_THROW(read(4, 0, 8), Error);
  EXPECT_THROW(read(Embeddings::kMostNumbers + 1, 1, Embeddings::kMostNumbers + 1), Error);
  EXPECT_THROW(read(4, ~uint64_t{0}, 8), Error);
}

}  // namespace
}  // namespace throng::town
