// How text is cut into words before a BPE merges within each: the table of the model families, and the engine
// that cuts.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace throng::model {

// Cuts each piece of text into the matches of a pattern and what stands between them.
struct SplitStep {
  const char* pattern;     // PCRE2, with Unicode properties
  bool in_threes = false;  // matches are cut once more: from their end, three characters at a time
};

enum PreTrait : unsigned {
  kWholeWordsFirst = 1,  // a word that is itself a token is taken without merging
  kAddsBos = 2,          // if the file does not say
  kComposes = 4,         // text is put into Unicode's normal form C first
  kSpacesAsSymbols = 8,  // names are text with U+2581 for a space, not stand-ins for bytes
};

// What a name in tokenizer.ggml.pre stands for.
struct PreTokenizer {
  const char* name;
  std::span<const SplitStep> steps;  // each cuts the pieces of the one before
  unsigned traits = 0;               // of PreTrait

  bool Has(PreTrait trait) const { return (traits & trait) != 0; }
};

// Throws kUnsupported with the known names. An empty name is "default".
const PreTokenizer& FindPreTokenizer(std::string_view name);
// All that are known.
std::span<const PreTokenizer> PreTokenizers();

class WordSplitter {
 public:
  explicit WordSplitter(const PreTokenizer& pre);
  ~WordSplitter();
  WordSplitter(const WordSplitter&) = delete;
  WordSplitter& operator=(const WordSplitter&) = delete;

  // The ends of the words, ascending; the last is the text's. Bytes that are not UTF-8 are separate words.
  void Split(std::string_view text, std::vector<uint32_t>& ends) const;

 private:
  class Pattern;
  std::vector<std::unique_ptr<Pattern>> patterns_;
};

}  // namespace throng::model
