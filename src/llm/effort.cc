#include "llm/effort.h"

#include <algorithm>

namespace throng::llm {
namespace {

thread_local Effort* current = nullptr;

}  // namespace

Effort::Effort(uint64_t steps)
    : around_(current), steps_(around_ == nullptr ? steps : std::min(steps, around_->left_)), left_(steps_) {
  current = this;
}

Effort::~Effort() {
  current = around_;
  if (around_ != nullptr) around_->left_ -= steps_ - left_;
}

void Effort::Spend(uint64_t steps) {
  if (current == nullptr) return;
  if (current->left_ < steps) {
    current->left_ = 0;
    throw Spent();
  }
  current->left_ -= steps;
}

bool Effort::IsLimited() { return current != nullptr; }

}  // namespace throng::llm
