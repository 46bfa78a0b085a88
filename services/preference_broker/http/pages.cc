#include "services/preference_broker/http/pages.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/http/gzip.h"

namespace backflip::preference_broker {
namespace {

namespace fs = std::filesystem;

constexpr std::pair<const char*, const char*> kTypes[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".wasm", "application/wasm"},
    {".glb", "model/gltf-binary"},
    {".txt", "text/plain; charset=utf-8"},
};

const char* TypeOf(const std::string& file) {
  for (const auto& [ending, type] : kTypes) {
    if (absl::EndsWith(file, ending)) return type;
  }
  return "application/octet-stream";
}

absl::StatusOr<std::string> ReadFile(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot read the page '", file, "': ", std::strerror(errno)));
  }
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// RFC 9110, section 13.1.2; tags are compared weakly.
bool Matches(absl::string_view if_none_match, const std::string& etag) {
  for (absl::string_view tag : absl::StrSplit(if_none_match, ',')) {
    tag = absl::StripAsciiWhitespace(tag);
    absl::ConsumePrefix(&tag, "W/");
    if (tag == "*" || tag == etag) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<Pages::Page> Pages::ReadPage(const std::string& file, bool immutable) {
  Page page;
  page.content_type = TypeOf(file);
  ASSIGN_OR_RETURN(std::string bytes, ReadFile(file));
  if (!immutable) page.etag = absl::StrCat("\"", base::Sha256Hex(bytes).substr(0, 32), "\"");
  page.bytes = std::make_shared<std::string>(std::move(bytes));
  if (fs::exists(file + ".gz")) {
    ASSIGN_OR_RETURN(std::string gzipped, ReadFile(file + ".gz"));
    page.gzipped = std::make_shared<std::string>(std::move(gzipped));
  }
  return page;
}

absl::StatusOr<Pages> Pages::Read(const std::string& folder) {
  Pages pages;
  ASSIGN_OR_RETURN(pages.pages_["/"],
                   ReadPage(absl::StrCat(folder, "/index.html"), /*immutable=*/false));
  const std::string dashboard = absl::StrCat(folder, "/dashboard.html");
  if (fs::exists(dashboard)) {
    ASSIGN_OR_RETURN(pages.pages_["/dashboard"], ReadPage(dashboard, /*immutable=*/false));
  }
  std::error_code error;
  const fs::path assets = fs::path(folder) / "assets";
  for (fs::recursive_directory_iterator it(assets, error), end; !error && it != end;
       it.increment(error)) {
    const std::string file = it->path().string();
    if (!it->is_regular_file() || absl::EndsWith(file, ".gz")) continue;
    ASSIGN_OR_RETURN(pages.pages_[absl::StrCat(
                         "/assets/", it->path().lexically_relative(assets).generic_string())],
                     ReadPage(file, /*immutable=*/true));
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot read the folder '", assets.string(), "': ", error.message()));
  }
  return pages;
}

Answer Pages::Get(absl::string_view path, absl::string_view accept_encoding,
                  absl::string_view if_none_match) const {
  const Page& page = pages_.at(std::string(path));
  Answer answer;
  answer.content_type = page.content_type;
  answer.body = page.bytes;
  if (page.etag.empty()) {
    answer.cache_control = "public, max-age=31536000, immutable";
  } else {
    answer.cache_control = "no-cache";
    answer.headers.emplace_back("ETag", page.etag);
  }
  if (page.gzipped != nullptr) {
    answer.headers.emplace_back("Vary", "Accept-Encoding");
    if (AcceptsGzip(accept_encoding)) {
      answer.encoding = "gzip";
      answer.body = page.gzipped;
    }
  }
  if (!page.etag.empty() && Matches(if_none_match, page.etag)) {
    answer.status = 304;
    answer.body = std::make_shared<std::string>();
    answer.encoding.clear();
  }
  return answer;
}

}  // namespace backflip::preference_broker
