// The broker's services as the pages call them: the Connect protocol, with binary
// messages where poses are in them, since those are many numbers.
import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { LabelingService } from "backflip/v1/label_pb";
import { PeopleService } from "backflip/v1/people_pb";
import { isSignedOut, within } from "./failures";
import { credentials, tokenRefused, visitor } from "./session";

const authorize: Interceptor = (next) => async (request) => {
  for (const [name, value] of Object.entries(credentials())) request.header.set(name, value);
  try {
    return await next(request);
  } catch (failure) {
    if (visitor() && isSignedOut(failure)) tokenRefused();
    throw failure;
  }
};
const transport = (useBinaryFormat: boolean) =>
  createConnectTransport({ baseUrl: location.origin, useBinaryFormat, interceptors: [authorize] });

export function jsonClient<T extends DescService>(service: T): Client<T> {
  return createClient(service, transport(false));
}

export const labeling = createClient(LabelingService, transport(true));
export const people = jsonClient(PeopleService);

export async function fetchScene(hash: string): Promise<ArrayBuffer> {
  const answer = await fetch(`/scenes/${encodeURIComponent(hash)}.glb`, {
    headers: credentials(),
    ...within(60_000),
  });
  if (!answer.ok) throw new Error(`the scene of the clips could not be fetched (${answer.status})`);
  return answer.arrayBuffer();
}
