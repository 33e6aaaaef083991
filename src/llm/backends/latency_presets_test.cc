#include "llm/backends/latency_presets.h"

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>

#include "base/error.h"
#include "llm/backends/latency.h"
#include "llm/testing/numbered.h"

namespace throng::llm {
namespace {

// Seconds for n requests of the recorded workload's mean size, all at once.
double SecondsFor(std::string_view preset, int n) {
  Numbered<LatencyLlm> llm(LatencyOptions::Parse(PresetParameters(preset)));
  for (int i = 0; i < n; ++i) {
    Request request;
    request.prompt = "p";
    request.known_prompt_tokens = 643;
    request.known_output_tokens = 22;
    llm.Send(request);
  }
  std::vector<Completion> done;
  while (done.size() < static_cast<size_t>(n)) llm.Wait(done);
  return llm.Now();
}

TEST(LatencyPresets, FirstIsTheDefault) {
  EXPECT_EQ(LatencyLlm(LatencyOptions::Parse(PresetParameters("llama3-8b-1xl4"))).Identity(),
            LatencyLlm().Identity());
}

TEST(LatencyPresets, AllParseAndRankAsTheirHardwareDoes) {
  for (const LatencyPreset& preset : LatencyPresets())
    EXPECT_GT(SecondsFor(preset.name, 1), 0) << preset.name;
  // One request gains nothing from replicas, many gain nearly their number.
  EXPECT_DOUBLE_EQ(SecondsFor("llama3-8b-1xl4", 1), SecondsFor("llama3-8b-8xl4", 1));
  const double ratio = SecondsFor("llama3-8b-1xl4", 800) / SecondsFor("llama3-8b-8xl4", 800);
  EXPECT_GT(ratio, 6);
  EXPECT_LE(ratio, 8);
  // Decoding reads 141 GB with 8.2 TB/s, or 16 GB with 0.3: tensor parallelism shortens a single answer.
  EXPECT_LT(SecondsFor("llama3-70b-4xa100", 1), SecondsFor("llama3-8b-1xl4", 1));
  EXPECT_LT(SecondsFor("mixtral-8xa100", 800), SecondsFor("llama3-70b-8xa100", 800));
}

TEST(LatencyPresets, UnknownNameListsTheKnown) {
  try {
    PresetParameters("gpt");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.Code(), ErrorCode::kInvalid);
    EXPECT_NE(std::string(error.what()).find("llama3-8b-1xl4"), std::string::npos);
  }
}

TEST(LatencyPresets, AFileIsAPresetToo) {
  const std::string path = ::testing::TempDir() + "/preset.json";
  const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
  write(R"({"server": "http://a", "latency": "pass_ms=1:2/64:9,kv_us=0.5,chunk=512"})");
  LatencyOptions options = LatencyOptions::Parse("preset=" + path);
  EXPECT_EQ(options.pass_ms, (std::vector<PassTime>{{1, 2}, {64, 9}}));
  EXPECT_EQ(options.chunk, 512);
  options = LatencyOptions::Parse("chunk=256,preset=" + path);  // what is said goes first
  EXPECT_EQ(options.chunk, 256);
  EXPECT_EQ(options.kv_us, 0.5);
  EXPECT_EQ(LatencyOptions::Parse("preset=llama3-8b-8xl4").replicas, 8);
  for (const char* text : {"", "[]", "{}", R"({"latency": 3})", R"({"latency": "chunk=0"})",
                           R"({"latency": "preset=llama3-8b-8xl4"})"}) {
    write(text);
    EXPECT_THROW(LatencyOptions::Parse("preset=" + path), Error) << text;
  }
  EXPECT_THROW(LatencyOptions::Parse("preset=/nowhere"), Error);
}

}  // namespace
}  // namespace throng::llm
