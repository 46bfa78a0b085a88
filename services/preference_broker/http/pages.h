// The pages that browsers load: read once, served from memory.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_PAGES_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_PAGES_H_

#include <string>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/preference_broker/http/answer.h"

namespace backflip::preference_broker {

// Paths are looked up in a table: no path of a request ever reaches the file system. Thread-safe
// once it is made.
class Pages {
 public:
  Pages() = default;
  // Reads index.html (at /), dashboard.html (at /dashboard) and all of assets/
  // below `folder`, each with its .gz sibling where there is one. Blocks.
  // FAILED_PRECONDITION: no index.html there, or something cannot be read.
  static absl::StatusOr<Pages> Read(const std::string& folder);

  // Whether there is a page at `path`, which begins with a slash and has no query.
  bool Has(absl::string_view path) const { return pages_.count(std::string(path)) > 0; }
  // Requires Has(path). Takes the request's headers as they came; empty: none.
  Answer Get(absl::string_view path, absl::string_view accept_encoding,
             absl::string_view if_none_match) const;

 private:
  struct Page {
    std::string content_type;
    std::shared_ptr<const std::string> bytes;
    std::shared_ptr<const std::string> gzipped;  // may be null
    // For pages whose name stays the same while they change; empty for assets.
    std::string etag;
  };
  static absl::StatusOr<Page> ReadPage(const std::string& file, bool immutable);

  std::unordered_map<std::string, Page> pages_;
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_PAGES_H_
