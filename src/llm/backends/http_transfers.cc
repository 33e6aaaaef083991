#include "llm/backends/http_transfers.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "llm/answer/answer_checker.h"

namespace throng::llm {
namespace {

// A proxy for the world outside is none for this machine.
std::string NoProxy() {
  std::string hosts = "localhost,127.0.0.1,::1";
  for (const char* name : {"no_proxy", "NO_PROXY"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') hosts += std::string(",") + value;
  }
  return hosts;
}

size_t OnBody(char* data, size_t size, size_t count, void* to) {
  HttpTransfer& transfer = *static_cast<HttpTransfer*>(to);
  transfer.too_long = transfer.reply.size() + size * count > HttpTransfers::kMaxReplyBytes;
  if (transfer.too_long) return 0;
  transfer.reply.append(data, size * count);
  return size * count;
}

size_t OnHeader(char* data, size_t size, size_t count, void* to) {
  constexpr std::string_view kServer = "server:";
  const std::string_view line(data, size * count);
  const bool is_server = line.size() > kServer.size() &&
                         std::equal(kServer.begin(), kServer.end(), line.begin(), [](char a, char b) {
                           return a == std::tolower(static_cast<unsigned char>(b));
                         });
  if (is_server) static_cast<HttpTransfer*>(to)->server = OneLine(line.substr(kServer.size()));
  return size * count;
}

void ReadResult(HttpTransfer& transfer, CURLcode result) {
  long status = 0;
  curl_off_t retry_after = 0;
  curl_off_t connected = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(transfer.easy, CURLINFO_RETRY_AFTER, &retry_after);  // seconds, or the date as seconds
  curl_easy_getinfo(transfer.easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
  transfer.result = result;
  transfer.error = *transfer.error_buffer != '\0' ? transfer.error_buffer : curl_easy_strerror(result);
  transfer.status = static_cast<int>(status);
  transfer.retry_after = static_cast<double>(std::max<curl_off_t>(retry_after, 0));
  transfer.connected = connected > 0;
}

}  // namespace

double HttpTransfer::Seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

HttpTransfers::HttpTransfers(int most) : no_proxy_(NoProxy()) {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  THRONG_CHECK(global == CURLE_OK);
  multi_ = curl_multi_init();
  THRONG_CHECK(multi_ != nullptr);
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(most));
}

HttpTransfers::~HttpTransfers() {
  for (CURL* easy : idle_) curl_easy_cleanup(easy);
  curl_multi_cleanup(multi_);
}

bool HttpTransfers::IsOrigin(const std::string& origin) {
  CURLU* const url = curl_url();
  const CURLUcode code = curl_url_set(url, CURLUPART_URL, origin.c_str(), 0);
  curl_url_cleanup(url);
  return code == CURLUE_OK;
}

void HttpTransfers::Start(HttpTransfer& transfer) {
  CURL* easy = idle_.empty() ? curl_easy_init() : idle_.back();
  THRONG_CHECK(easy != nullptr);
  if (!idle_.empty()) idle_.pop_back();
  transfer.easy = easy;
  transfer.begin = std::chrono::steady_clock::now();
  const auto header = [&](const std::string& line) {
    transfer.headers = curl_slist_append(transfer.headers, line.c_str());
  };
  header("Content-Type: application/json");
  header("Accept: application/json");
  header("Expect:");  // no question before large bodies
  if (!transfer.api_key.empty()) header("Authorization: Bearer " + transfer.api_key);
  const auto millis = [](double seconds) { return std::max(1L, static_cast<long>(seconds * 1e3)); };
  const double connect_timeout = std::min(transfer.connect_timeout, transfer.timeout);
  curl_easy_setopt(easy, CURLOPT_URL, transfer.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_NOPROXY, no_proxy_.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, millis(connect_timeout));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, millis(transfer.timeout));
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error_buffer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  if (!transfer.body.empty()) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer.body.data());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(transfer.body.size()));
  }
  THRONG_CHECK(curl_multi_add_handle(multi_, easy) == CURLM_OK);
}

void HttpTransfers::End(HttpTransfer& transfer) {
  if (transfer.easy == nullptr) return;
  curl_multi_remove_handle(multi_, transfer.easy);
  curl_easy_reset(transfer.easy);
  idle_.push_back(std::exchange(transfer.easy, nullptr));
  curl_slist_free_all(std::exchange(transfer.headers, nullptr));
}

std::vector<HttpTransfer*> HttpTransfers::Run() {
  int running = 0;
  curl_multi_perform(multi_, &running);
  std::vector<HttpTransfer*> over;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    HttpTransfer* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    ReadResult(*transfer, message->data.result);
    over.push_back(transfer);
  }
  for (HttpTransfer* transfer : over) End(*transfer);
  return over;
}

}  // namespace throng::llm
