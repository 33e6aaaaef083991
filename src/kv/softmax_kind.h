// The kinds of softmax that attention over a cache can use.
#pragma once

namespace throng::kv {

enum class SoftmaxKind {
  kExact,
  kSas,  // attention/sas.h
};

}  // namespace throng::kv
