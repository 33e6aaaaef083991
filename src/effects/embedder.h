// Makes embeddings of texts: vectors whose directions are near each other where the texts mean alike. What
// agents await as Kind::kEmbedding, for runs that this program starts (throng run --embed).
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "effects/tool.h"

namespace throng::effects {

// Takes {"texts": [...]} and gives a list with one embedding per text: a list of whole numbers from -127 to
// 127, the largest of them 127 or -127, or all 0. Only the direction of an embedding is kept: in whole
// numbers, cosines have the same bits everywhere, and a journal has a third of the bytes. A text that it has
// embedded before, or embeds for somebody, is not embedded again.
class Embedder : public Tool {
 public:
  static constexpr size_t kMostNumbers = 65536;  // of an embedding

  Embedder() : Tool("embed", llm::Effect::kPure, kLongestTimeout) {}

  // What its embeddings depend on. Those of two embedders with one identity can be compared.
  virtual std::string Identity() const = 0;

  // Comes to kUnavailable where Embed throws.
  ToolResult Use(const std::string& arguments) final;

 protected:
  // An embedding for each text [texts][numbers]. Throws Error. Called from several threads at once.
  virtual std::vector<std::vector<float>> Embed(const std::vector<std::string>& texts) = 0;

 private:
  static constexpr size_t kMostKnown = 1 << 16;  // then it begins to learn anew

  // Unlocks while it asks.
  void Learn(const std::vector<std::string>& texts, std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::unordered_map<std::string, std::string> known_;  // text to its embedding, in JSON
  std::unordered_set<std::string> being_asked_;         // by some thread
};

// Made up of the words: each word is a direction of its own, so texts are as near as they have words in
// common. For tests, and for trying out runs without a model.
class FakeEmbedder final : public Embedder {
 public:
  std::string Identity() const override { return "fake"; }

 protected:
  std::vector<std::vector<float>> Embed(const std::vector<std::string>& texts) override;
};

}  // namespace throng::effects
