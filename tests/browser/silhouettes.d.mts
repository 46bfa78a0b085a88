import type { Browser, Page } from "@playwright/test";

export interface Found {
  name: string;
  error?: string;
  overlap: number;
  floors: number;
  shares: number[];
  inside: boolean;
  distance: number;
}
export function openPage(browser: Browser): Promise<Page>;
export function looks(paths: string[]): AsyncGenerator<unknown>;
export function compare(page: Page, look: unknown): Promise<Found>;
