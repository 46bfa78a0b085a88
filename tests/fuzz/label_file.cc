// Lines of a file of labels: a clip, or a label.
#include <google/protobuf/util/json_util.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "backflip/v1/review.pb.h"
#include "common/experience/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace backflip;
  const std::string line(reinterpret_cast<const char*>(data), size);
  v1::Candidate candidate;
  if (google::protobuf::util::JsonStringToMessage(line, &candidate).ok())
    (void)experience::FromProto(candidate.clip(), 2, 1).status();
  v1::ExportedLabel label;
  (void)google::protobuf::util::JsonStringToMessage(line, &label);
  return 0;
}
