// Messages as JSON, in protobuf's mapping.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_JSON_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_JSON_H_

#include <google/protobuf/message.h>

#include <string>

namespace backflip::preference_broker {

// The proto3 JSON mapping: lowerCamelCase names, 64-bit integers as text, defaults left out. What
// google::protobuf::util writes, but for the digits of numbers (here the shortest that read back
// the same) and the time: for the poses of a pair that takes 0.9 ms, and this a tenth. The keys of
// maps must be text, and there must be none of protobuf's well-known types, as the protocol has it.
std::string ToJson(const google::protobuf::Message& message);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_JSON_H_
