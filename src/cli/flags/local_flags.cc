#include "cli/flags/local_flags.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/flags/help_format.h"
#include "cli/flags/number_checks.h"
#include "engine/codecs/codec_config.h"

namespace throng::cli {

void AddCodecFlags(CLI::App& command, engine::LocalOptions& options, const char* group) {
  command.add_option("--kv", options.kv, "Codec of keys and values in the KV cache, see below")
      ->group(group)
      ->capture_default_str();
  AddNote(command, "Codecs of the KV cache (--kv):\n" + engine::CodecHelp());
  command.add_option("--k", options.keys, "Codec of keys, where it differs from --kv")->group(group);
  command.add_option("--v", options.values, "Codec of values, where it differs from --kv")->group(group);
  command
      .add_option(
          "--calibration", options.calibration,
          "Text file with which auto, flashq-mixed and bias=mean probe the model; default: a built-in text")
      ->group(group);
  command
      .add_option("--kv-out", options.kv_out,
                  "File (.json) for the codecs of each layer, to be given to --kv later")
      ->group(group);
  command
      .add_option("--softmax", options.softmax,
                  "exact, or sas: an approximation of attention that leaves out what weighs next to nothing")
      ->group(group)
      ->check(CLI::IsMember({"exact", "sas"}))
      ->capture_default_str();
}

void AddLocalFlags(CLI::App& command, engine::LocalOptions& options) {
  constexpr const char* kGroup = "Model and engine";
  command
      .add_option("-m,--model", options.model,
                  "GGUF file or folder of safetensors; default: the embedded model")
      ->group(kGroup);
  command
      .add_option("--chat-template", options.chat_template,
                  "File with the chat template to use instead of the model's own")
      ->group(kGroup);
  command
      .add_option(
          "--device", options.device,
          "What computes: cpu, or cuda or cuda:N, a GPU of NVIDIA, in builds with CUDA. cuda:N:SIZE, such as "
          "cuda:0:40GB, takes so much of its memory in all; default: most of what is free")
      ->group(kGroup)
      ->capture_default_str();
  AddCodecFlags(command, options, kGroup);
  command
      .add_option("--kv-budget", options.kv_budget_bytes,
                  "Most bytes of all KV caches, such as 2GB; default: half of the device's free memory")
      ->group(kGroup)
      ->transform(Bytes());
  command
      .add_option("--context", options.max_context,
                  "Most tokens of prompt and answer together; default: the model's")
      ->group(kGroup)
      ->check(Whole(1));
  command
      .add_option(
          "--repack", options.repack,
          "on: copy the weights to where they are read fastest, before the first pass of 16 tokens or fewer; "
          "off: read them where the file is mapped, which processes with the same model share; auto: on if "
          "half of the free memory has room for the copy. Answers are the same")
      ->group(kGroup)
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->capture_default_str();
  command.add_option("--threads", options.threads, "Threads that compute; default: all")
      ->group(kGroup)
      ->check(CLI::Range(1, 1024));
  command.add_option("--batch", options.max_batch, "Sequences that run at once")
      ->group(kGroup)
      ->capture_default_str();
  command.add_option("--step-tokens", options.step_tokens, "Tokens of one forward pass")
      ->group(kGroup)
      ->capture_default_str();
  command.add_option("--chunk", options.chunk_tokens, "Tokens of one prompt in one forward pass")
      ->group(kGroup)
      ->capture_default_str();
  command
      .add_option("--lookup", options.lookup,
                  "auto: prompt lookup decoding: tokens that followed the last ones before, in prompt or "
                  "answer, are guessed and checked several to a forward pass, where that saves time; answers "
                  "are the same. off: one token to a pass")
      ->group(kGroup)
      ->check(CLI::IsMember({"auto", "off"}))
      ->capture_default_str();
  command
      .add_flag("!--no-prefix-cache", options.prefix_cache,
                "Do not reuse the cache of prompts that begin alike")
      ->group(kGroup);
  command
      .add_option("--eviction", options.eviction,
                  "What leaves the prefix cache first: next-use: what agents are expected to need last; lru: "
                  "what was used longest ago")
      ->group(kGroup)
      ->check(CLI::IsMember({"next-use", "lru"}))
      ->capture_default_str();
  command
      .add_option(
          "--spill", options.spill,
          "Folder for blocks of the KV cache that --kv-budget has no room for; they are read back instead "
          "of computed again")
      ->group(kGroup);
  command.add_option("--spill-budget", options.spill_bytes, "Most bytes there, such as 100GB; default: 16GB")
      ->group(kGroup)
      ->transform(Bytes());
}

void WarnOfEmbeddedModel(const engine::LocalOptions& given) {
  if (!given.model.empty()) return;
  fmt::print(stderr,
             "warning: the embedded model knows the language of the built-in town and nothing else; -m "
             "FILE.gguf takes another\n");
}

}  // namespace throng::cli
